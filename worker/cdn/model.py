"""What cdn knows of a track, of one target's copies of it, and of where their bytes come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from worker.errors import Busy, WorkError
from worker.storage import ObjectInfo, ObjectStore, Source

FileRole = Literal["audio", "sidecar"]
Wanted = Literal["upload", "delete", "nothing"]
ROLES: tuple[FileRole, ...] = ("audio", "sidecar")
MOST_TRIES = 8
CACHE_CONTROL: dict[FileRole, str] = {
    "audio": "public, max-age=3600",
    "sidecar": "public, max-age=300",
}


class NotThereYet(WorkError):
    """The team's own bucket has no such object; it may still be on its way there."""


class PurgeRefused(Busy):
    """The cache does not take these URLs: they are not its own, whose target has another one."""


@dataclass(frozen=True)
class KnownObject:
    """An object of the track on the target, as the ledger has it."""

    role: str
    bucket: str
    key: str
    state: str
    bytes: int | None = None
    sha256: str | None = None
    etag: str | None = None
    content_type: str | None = None
    source_hash: str | None = None

    def is_really(self, there: ObjectInfo | None) -> bool:
        """Whether what the target holds is what was verified when it was sent."""
        if there is None or self.state != "live" or not self.etag:
            return False
        same_bytes = (there.etag, there.size) == (self.etag, self.bytes)
        return same_bytes and there.content_type == self.content_type


@dataclass(frozen=True)
class Track:
    """A track as it is when its run begins, and the target that is to agree with it.

    `wanted` on the target are its copies (upload), no copies (delete), or nothing: what is there
    stays. `asked_at` is when the work was asked for (monotonic clock, seconds). `sidecar` is the
    JSON that its metadata make. `stale`: a cache may still hold what was overwritten or deleted.
    `behind`: new work goes before it.
    """

    track_id: str
    target: str
    wanted: Wanted
    exists: bool
    file_path: str | None
    sidecar_path: str | None
    sidecar: str
    version: str
    attempts: int
    asked_at: float
    stale: bool = False
    behind: bool = False
    objects: Sequence[KnownObject] = ()

    def object_at(self, bucket: str, key: str) -> KnownObject | None:
        """What the ledger has at this key."""
        return next(
            (each for each in self.objects if (each.bucket, each.key) == (bucket, key)), None
        )


@dataclass(frozen=True)
class Copy:
    """A file of the track on the target; `url` is unsigned. `sent`: it was not there before."""

    url: str
    sent: bool


class Goods(Protocol):
    """Bytes that were read to their end: what they are is known before any of them is sent."""

    @property
    def length(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def source_hash(self) -> str:
        """What the ledger keeps of where they come from: the same hash, the same bytes."""
        ...

    def open(self) -> Source:
        """The bytes from their beginning."""
        ...


@dataclass(frozen=True)
class StoredAt:
    """An object in a bucket that is reached with a key of ours; `team`: in the primary storage."""

    store: ObjectStore
    info: ObjectInfo
    team: bool


class Original(Protocol):
    """A file of a track where it comes from. Nothing is downloaded until it is asked for.

    Every method raises the errors of the download or the storage.
    """

    @property
    def stored(self) -> StoredAt | None:
        """Where it is in a storage of ours, if it is."""
        ...

    @property
    def source_hash(self) -> str | None:
        """As of `Goods`, where it is known before the bytes are."""
        ...

    async def is_still(self, source_hash: str) -> bool:
        """Whether bytes of that source would be the same as its bytes now."""
        ...

    async def recognised(self) -> str:
        """Its content type, by its first bytes."""
        ...

    async def goods(self) -> Goods:
        """All of its bytes, recognised."""
        ...
