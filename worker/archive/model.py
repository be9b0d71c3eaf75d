"""What archiving knows of a track and of its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

FileRole = Literal["audio", "cover", "video"]
ROLES: tuple[FileRole, ...] = ("audio", "cover", "video")


@dataclass(frozen=True)
class StoredFile:
    """A file of a track in the team's storage. `url` is unsigned; `seconds`: how long it took."""

    url: str
    bucket: str | None = None
    key: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """What the database records of it."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class KnownObject:
    """A verified object of the track, as the ledger has it.

    `current`: its bytes came from the URL that the track names now.
    """

    role: str
    bucket: str
    key: str
    bytes: int
    sha256: str
    content_type: str
    current: bool


@dataclass(frozen=True)
class Track:
    """A track as it is when its run begins. `seconds_left` until its expiry, negative after it.

    `stored_audio` is where the audio of an archived track is that is to stay as it is.
    `late_attempts` are the tries after the expiry, with this one.
    """

    id: UUID
    exists: bool
    playable: bool
    forced: bool
    archived: bool
    user_id: str | None
    title: str | None
    provider: str | None
    sources: Mapping[FileRole, str]
    seconds_left: float
    attempts: int
    late_attempts: int
    objects: Sequence[KnownObject]
    stored_audio: str | None = None
    seconds_before: Mapping[str, float] = field(default_factory=dict)

    @property
    def expired(self) -> bool:
        """Its provider may have deleted it."""
        return self.seconds_left <= 0

    def key_stem(self) -> str:
        """Its objects' key up to the extension."""
        return f"{self.user_id or 'no-user'}/{self.id}"


@dataclass
class Harvest:
    """What a run has got so far: files, those gone for good, and those that failed for now."""

    files: dict[FileRole, StoredFile] = field(default_factory=dict)
    missing: list[FileRole] = field(default_factory=list)
    waiting: dict[FileRole, str] = field(default_factory=dict)
    retry_after: float | None = None

    @property
    def complaint(self) -> str:
        """Why files failed for now."""
        return "; ".join(self.waiting.values())
