"""What Cloudinary lists, and what rows say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from worker.check import model
from worker.cloudinary.documents import RESOURCE_TYPES

Standing = Literal["wanted", "under way", "deleted", "unwanted", "foreign"]


@dataclass(frozen=True)
class Asset:
    """An asset that Cloudinary lists; `touched_at`: when it was made or changed last."""

    asset_id: str
    resource_type: str
    type: str
    public_id: str
    version: int
    bytes: int | None
    touched_at: datetime

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Asset:
        """As a listing or a look describes it."""
        times = [document.get("created_at"), *document["clock"].values()]
        touched = [_moment(time) for time in times if time]
        return cls(
            asset_id=str(document.get("asset_id") or ""),
            resource_type=document["resource_type"],
            type=document["type"],
            public_id=document["public_id"],
            version=int(document["version"]),
            bytes=document.get("bytes"),
            touched_at=max(touched, default=datetime.min.replace(tzinfo=UTC)),
        )

    @property
    def name(self) -> str:
        """What names it in the account."""
        return f"{self.resource_type}/{self.type}/{self.public_id}"


@dataclass(frozen=True)
class AssetRow:
    """What a row says of an asset. `resource_type` is None where it does not tell.

    `standing`: wanted; under way (something is going on, or the row was touched a moment ago);
    deleted (the row is); unwanted (its asset was deleted, too). Without a row `owner_id` is None,
    and the standing says what else is known of the asset: under way, unwanted, or foreign.
    """

    owner_table: str | None
    owner_id: UUID | None
    resource_type: str | None
    type: str
    public_id: str
    bytes: int | None
    version: int | None
    standing: Standing

    @property
    def owner(self) -> str:
        """The row, for people."""
        return f"{self.owner_table} {self.owner_id}"

    @property
    def name(self) -> str:
        """What names the asset in the account, as far as the row knows."""
        return f"{self.resource_type or '?'}/{self.type}/{self.public_id}"

    @property
    def resource_types(self) -> tuple[str, ...]:
        """Those that it may have."""
        return (self.resource_type,) if self.resource_type else RESOURCE_TYPES


@dataclass(frozen=True)
class Suspicion(model.Suspicion[AssetRow]):
    """`asset` is what is there, if it is."""

    asset: Asset | None = None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
