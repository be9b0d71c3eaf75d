"""The assets of an account, and every way in which they change: one change at a time."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from posixpath import splitext
from typing import Any, Literal

from worker.demo.cloudinary.assets import Asset, Attribute, Key
from worker.demo.cloudinary.journal import Change, Journal, Kind, Origin
from worker.demo.cloudinary.media import Media
from worker.demo.cloudinary.shelf import Accept, Shelf
from worker.demo.cloudinary.wire import Refused

Outcome = Literal["created", "overwritten", "existing"]
Listener = Callable[[Change], None]

_GROUPS = {"tags": "tags", "context": "context", "metadata": "metadata"}


@dataclass(frozen=True)
class Draft:
    """What is uploaded; None stands for what follows from the rest."""

    key: Key
    media: Media
    tags: tuple[str, ...] = ()
    context: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    display_name: str | None = None
    asset_folder: str | None = None
    original_filename: str = ""
    format: str | None = None
    version: int | None = None
    created_at: datetime | None = None


class Store:
    """Safe for many threads. `listeners` hear of each change, in order, before the next one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.journal = Journal()
        self.listeners: list[Listener] = [self.journal.write]
        self._clock = clock
        self._lock = threading.RLock()
        self._shelf = Shelf()
        self._versions: dict[Key, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._shelf)

    def all(self) -> list[Asset]:
        with self._lock:
            return list(self._shelf)

    def find(self, key: Key) -> Asset | None:
        with self._lock:
            return self._shelf.find(key)

    def by_id(self, asset_id: str) -> Asset | None:
        with self._lock:
            return self._shelf.by_id(asset_id)

    def page(
        self,
        resource_type: str,
        accept: Accept,
        *,
        after: int | None,
        oldest_first: bool,
        size: int,
    ) -> list[Asset]:
        with self._lock:
            return self._shelf.page(
                resource_type, accept, after=after, oldest_first=oldest_first, size=size
            )

    def named(self, accept: Accept, *, after: tuple[str, str] | None, size: int) -> list[Asset]:
        with self._lock:
            return self._shelf.named(accept, after=after, size=size)

    def place(self, draft: Draft) -> Asset:
        """Put an asset there as if it had always been; nobody hears of it."""
        with self._lock:
            old = self._shelf.find(draft.key)
            if old:
                self._shelf.remove(old)
            return self._put_new(draft)

    def clear(self) -> None:
        """Forget every asset; nobody hears of it."""
        with self._lock:
            self._shelf = Shelf()

    def upload(self, draft: Draft, origin: Origin, *, overwrite: bool) -> tuple[Asset, Outcome]:
        """Create an asset, or overwrite the file, tags, context and names of one."""
        with self._lock:
            old = self._shelf.find(draft.key)
            if old is None:
                asset = self._put_new(draft)
                self._tell("upload", origin, (None, asset))
                return asset, "created"
            if not overwrite:
                return old, "existing"
            asset = self._put_over(old, draft)
            self._tell("overwrite", origin, (old, asset))
            return asset, "overwritten"

    def delete(self, keys: Iterable[Key], origin: Origin) -> list[Asset]:
        """Delete those that are there; returns them."""
        with self._lock:
            found = [asset for key in keys if (asset := self._shelf.find(key))]
            unique = list({asset.asset_id: asset for asset in found}.values())
            for asset in unique:
                self._shelf.remove(asset)
            self._tell("delete", origin, *((asset, None) for asset in unique))
            return unique

    def rename(self, key: Key, to: Key, origin: Origin, *, overwrite: bool = False) -> Asset:
        """Give an asset another public id or type. Raises Refused."""
        with self._lock:
            old = self._shelf.find(key)
            if old is None:
                raise Refused(404, f"Resource not found - {key.public_id}")
            taken = self._shelf.find(to)
            if taken and not overwrite:
                raise Refused(400, f"to_public_id({to.public_id}) already exists")
            if taken and taken is not old:
                self._shelf.remove(taken)
                self._tell("delete", origin, (taken, None))
            asset = replace(old.touched(self._now(), "public_id"), key=to)
            self._versions[to] = max(asset.version, self._versions.get(to, 0))
            self._shelf.put(asset)
            self._tell("rename", origin, (old, asset))
            return asset

    def change(
        self,
        keys: Sequence[Key],
        attribute: Attribute,
        value: Callable[[Asset], Any],
        origin: Origin,
    ) -> list[Asset]:
        """Set an attribute to what `value` makes of each asset; returns those that are there."""
        with self._lock:
            found, pairs = [], []
            for key in keys:
                old = self._shelf.find(key)
                if old is None:
                    continue
                asset = self._changed(old, attribute, value(old))
                found.append(asset)
                if asset is not old:
                    pairs.append((old, asset))
            self._tell(attribute, origin, *pairs)
            return found

    def _changed(self, old: Asset, attribute: Attribute, value: Any) -> Asset:
        if value == getattr(old, attribute):
            return old
        asset = old.touched(self._now(), _GROUPS.get(attribute, ""), **{attribute: value})
        self._shelf.put(asset)
        return asset

    def _put_new(self, draft: Draft) -> Asset:
        self._count += 1
        asset = Asset(
            asset_id=secrets.token_hex(16),
            key=draft.key,
            ordinal=self._count,
            version_id=secrets.token_hex(16),
            media=draft.media,
            created_at=draft.created_at or self._now(),
            **self._written(draft),
        )
        self._shelf.put(asset)
        return asset

    def _put_over(self, old: Asset, draft: Draft) -> Asset:
        """Without tags or context in the draft the asset loses those it had."""
        written = self._written(draft)
        asset = old.touched(
            self._now(), media=draft.media, version_id=secrets.token_hex(16), **written
        )
        self._shelf.put(asset)
        return asset

    def _written(self, draft: Draft) -> dict[str, Any]:
        folder, _, name = draft.key.public_id.rpartition("/")
        raw = draft.key.resource_type == "raw"
        return {
            "version": self._next_version(draft),
            "format": "" if raw else draft.format or draft.media.format,
            "tags": draft.tags,
            "context": draft.context,
            "metadata": draft.metadata,
            "display_name": name if draft.display_name is None else draft.display_name,
            "asset_folder": folder if draft.asset_folder is None else draft.asset_folder,
            "original_filename": draft.original_filename or splitext(name)[0],
        }

    def _next_version(self, draft: Draft) -> int:
        """The clock's seconds; more where an earlier version of that id has those already."""
        least = self._versions.get(draft.key, 0) + 1
        version = max(int(self._clock()), least) if draft.version is None else draft.version
        self._versions[draft.key] = max(version, least - 1)
        return version

    def _tell(self, kind: Kind, origin: Origin, *pairs: tuple[Asset | None, Asset | None]) -> None:
        if pairs:
            change = Change(kind, self._clock(), origin, pairs)
            for listener in self.listeners:
                listener(change)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
