"""What sync knows of runs, changed rows and notifications."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

Document = dict[str, Any]
Policy = Literal["newest", "cloudinary", "database"]
MOST_TRIES = 8


class Kind(NamedTuple):
    """What a listing or a look is about."""

    resource_type: str
    type: str


@dataclass(frozen=True)
class Run:
    """A run as it is now; `cursor` None: from the beginning."""

    force: bool
    batch_size: int
    cursor: Mapping[str, Any] | None
    single_asset: str | None
    another_runs: bool


@dataclass(frozen=True)
class Missing:
    """Rows whose assets a run has not seen: how many, out of how many, and the next of them."""

    missing: int
    known: int
    next: Sequence[Document]


@dataclass(frozen=True)
class Push:
    """A changed row: as it is (`mine`), and what it had in common with its asset (`base`)."""

    id: UUID
    asset: UUID
    gone: bool
    mine: Document
    base: Document | None
    uploads: bool

    @property
    def kind(self) -> Kind:
        """Under which kind its asset is found: not even Cloudinary can change it."""
        known = self.base or self.mine
        return Kind(str(known["resource_type"]), str(known["type"]))

    @property
    def name(self) -> str:
        """What the asset is called at Cloudinary, as far as is known."""
        return str((self.base or self.mine)["public_id"])

    @property
    def differences(self) -> Document:
        """What is to be changed there."""
        names = ("public_id", "tags", "context", "display_name")
        base = self.base or {}
        return {name: self.mine[name] for name in names if self.mine[name] != base.get(name)}


class Page(Protocol):
    """A page of a listing."""

    @property
    def assets(self) -> Sequence[Document]: ...
    @property
    def cursor(self) -> str | None: ...


class Reading(Protocol):
    """The account, to be read."""

    async def page(
        self, resource_type: str, type: str, *, size: int, cursor: str | None
    ) -> Page: ...
    async def look(
        self, resource_type: str, type: str, public_ids: Collection[str]
    ) -> list[Document]: ...


class Changing(Reading, Protocol):
    """The account, to be changed too."""

    async def update(
        self, resource_type: str, type: str, public_id: str, changes: Mapping[str, Any]
    ) -> Document: ...


class Uploading(Protocol):
    """The account's way in."""

    async def upload(self, url: str, **options: Any) -> Document: ...
    async def rename(
        self, public_id: str, to: str, *, resource_type: str, type: str
    ) -> Document: ...


@dataclass(frozen=True)
class Event:
    """A notification that was stored."""

    id: UUID
    notification_type: str | None
    body: str
    sent_at: datetime
