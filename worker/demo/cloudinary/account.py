"""An account as a test sees it: filled in no time, changed by hand, read from inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from worker.demo.cloudinary.assets import Asset, Attribute, Key
from worker.demo.cloudinary.journal import Journal, Origin
from worker.demo.cloudinary.media import examine, sample
from worker.demo.cloudinary.store import Draft, Store
from worker.demo.cloudinary.uploads import Preset


class Account:
    """What is done here is done by a person in the console: journalled and notified, save `add`.

    Assets are named by public id, with resource type and type beside it. `presets` are those
    that uploads may name.
    """

    def __init__(
        self, store: Store, presets: dict[str, Preset], clock: Callable[[], float]
    ) -> None:
        self.presets = presets
        self._store = store
        self._clock = clock

    @property
    def journal(self) -> Journal:
        """Every effect on an asset, with its time and the call that asked for it."""
        return self._store.journal

    @property
    def assets(self) -> list[Asset]:
        """Every asset, as it is now."""
        return self._store.all()

    def __len__(self) -> int:
        return len(self._store)

    def get(
        self, public_id: str, *, resource_type: str = "image", type: str = "upload"
    ) -> Asset | None:
        """The asset, or None."""
        return self._store.find(Key(resource_type, type, public_id))

    def get_by_id(self, asset_id: str) -> Asset | None:
        """The asset with this id, or None."""
        return self._store.by_id(asset_id)

    def add(
        self,
        public_id: str,
        content: bytes | None = None,
        *,
        resource_type: str = "image",
        type: str = "upload",
        tags: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        display_name: str | None = None,
        asset_folder: str | None = None,
        format: str | None = None,
        version: int | None = None,
        created_at: datetime | None = None,
    ) -> Asset:
        """An asset that has always been there: no journal, no notification.

        Without content it is a small picture, melody or text, by its resource type.
        """
        draft = Draft(
            key=Key(resource_type, type, public_id),
            media=sample(resource_type) if content is None else examine(content, public_id),
            tags=tuple(tags),
            context=dict(context or {}),
            metadata=dict(metadata or {}),
            display_name=display_name,
            asset_folder=asset_folder,
            format=format,
            version=version,
            created_at=created_at,
        )
        return self._store.place(draft)

    def upload(
        self,
        public_id: str,
        content: bytes | None = None,
        *,
        resource_type: str = "image",
        type: str = "upload",
        tags: Iterable[str] = (),
        context: Mapping[str, str] | None = None,
    ) -> Asset:
        """Upload a file, over an asset of that name if there is one."""
        draft = Draft(
            key=Key(resource_type, type, public_id),
            media=sample(resource_type) if content is None else examine(content, public_id),
            tags=tuple(tags),
            context=dict(context or {}),
        )
        asset, _ = self._store.upload(draft, self._origin(), overwrite=True)
        return asset

    def delete(
        self, *public_ids: str, resource_type: str = "image", type: str = "upload"
    ) -> list[Asset]:
        """Delete at once what is there of these; returns it."""
        keys = [Key(resource_type, type, public_id) for public_id in public_ids]
        return self._store.delete(keys, self._origin())

    def rename(
        self,
        public_id: str,
        to: str,
        *,
        resource_type: str = "image",
        type: str = "upload",
        overwrite: bool = False,
    ) -> Asset:
        """Give it another public id. Raises Refused."""
        old, new = Key(resource_type, type, public_id), Key(resource_type, type, to)
        return self._store.rename(old, new, self._origin(), overwrite=overwrite)

    def change(
        self,
        public_id: str,
        *,
        resource_type: str = "image",
        type: str = "upload",
        tags: Iterable[str] | None = None,
        context: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        display_name: str | None = None,
        asset_folder: str | None = None,
    ) -> Asset:
        """Set what is given; the rest stays. Raises KeyError when there is no such asset."""
        values: dict[Attribute, Any] = {
            "tags": None if tags is None else tuple(tags),
            "context": None if context is None else dict(context),
            "metadata": None if metadata is None else dict(metadata),
            "display_name": display_name,
            "asset_folder": asset_folder,
        }
        key = Key(resource_type, type, public_id)
        for attribute, value in values.items():
            if value is not None:
                self._set(key, attribute, value)
        asset = self._store.find(key)
        if asset is None:
            raise KeyError(key)
        return asset

    def clear(self) -> None:
        """Empty the account as if it had never held anything, and its journal."""
        self._store.clear()
        self.journal.clear()

    def _set(self, key: Key, attribute: Attribute, value: Any) -> None:
        self._store.change([key], attribute, lambda _: value, self._origin())

    def _origin(self) -> Origin:
        return Origin("console", self._clock())
