"""An asset, as it is at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self

from worker.demo.cloudinary.media import Media

Attribute = Literal["tags", "context", "metadata", "display_name", "asset_folder"]


class Key(NamedTuple):
    """What addresses an asset; the same public id may exist under each of them."""

    resource_type: str
    type: str
    public_id: str


@dataclass(frozen=True, slots=True)
class Asset:
    """Immutable: a change makes another one with the same `asset_id`.

    `ordinal` counts assets in the order of their creation. `last_updated` is empty until
    something about the asset is changed; its names are those of the API.
    """

    asset_id: str
    key: Key
    ordinal: int
    version: int
    version_id: str
    media: Media
    created_at: datetime
    format: str = ""
    tags: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    asset_folder: str = ""
    original_filename: str = ""
    last_updated: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def public_id(self) -> str:
        return self.key.public_id

    @property
    def resource_type(self) -> str:
        return self.key.resource_type

    @property
    def type(self) -> str:
        return self.key.type

    @property
    def content(self) -> bytes:
        return self.media.content

    def touched(self, at: datetime, name: str = "", **changes: Any) -> Self:
        """The same asset changed at that time; `name` is the group that is changed."""
        times = {**self.last_updated, "updated_at": at}
        if name:
            times[f"{name}_updated_at"] = at
        return replace(self, last_updated=times, **changes)
