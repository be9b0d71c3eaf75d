"""What cleanup knows of a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from worker.cloudinary import Found
from worker.cloudinary.documents import RESOURCE_TYPES


@dataclass(frozen=True)
class Deletion:
    """A claimed deletion of an object, and what was found right before carrying it out.

    `verdict`: delete, owned again, wanted again, not ours, or busy. `uncertain`: an upload to the
    key may be open.
    """

    id: UUID
    bucket: str
    key: str
    verdict: str
    uncertain: bool


@dataclass(frozen=True)
class AssetDeletion:
    """A claimed deletion of an asset.

    `resource_type` is None where it is not known, `version` and `asset_id` (Cloudinary's own)
    where the deleted row had none.
    `was_sent`: Cloudinary was asked for it in an earlier try. `used_by` names a row that uses it.
    """

    id: UUID
    public_id: str
    resource_type: str | None
    type: str
    version: int | None
    asset_id: str | None
    was_sent: bool
    used_by: str | None

    @property
    def resource_types(self) -> tuple[str, ...]:
        """Those that it may have."""
        return (self.resource_type,) if self.resource_type else RESOURCE_TYPES


@dataclass(frozen=True)
class Target:
    """A deletion whose asset is known for sure; `found` is None where it is not there."""

    deletion: AssetDeletion
    resource_type: str
    found: Found | None

    @property
    def id(self) -> UUID:
        """The deletion's."""
        return self.deletion.id

    @property
    def was_there(self) -> bool:
        """Now, or perhaps in an earlier try."""
        return self.found is not None or self.deletion.was_sent

    @property
    def version(self) -> int | None:
        """What was found there."""
        return self.found.version if self.found else None

    @property
    def asset_id(self) -> str | None:
        """That of the asset that was found, or else that the deleted row had."""
        return self.found.asset_id if self.found else self.deletion.asset_id

    @property
    def public_id(self) -> str:
        """The asset's."""
        return self.deletion.public_id

    @property
    def kind(self) -> tuple[str, str]:
        """What one call is about: resource type and type."""
        return self.resource_type, self.deletion.type


@dataclass(frozen=True)
class Permission:
    """The last word on a deletion: send, used (by a row that has come), or busy."""

    verdict: str
    used_by: str | None
