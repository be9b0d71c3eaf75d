"""Where assets stand: found by key and by id, walked in the order of their creation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice

from worker.demo.cloudinary.assets import Asset, Key
from worker.demo.cloudinary.media import RESOURCE_TYPES

Accept = Callable[[Asset], bool]


class Shelf:
    """Not for several threads at once: its owner locks."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Asset] = {}
        self._by_id: dict[str, Asset] = {}
        self._by_ordinal: dict[int, Asset] = {}
        self._order: dict[str, list[int]] = {kind: [] for kind in RESOURCE_TYPES}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Asset]:
        return iter(self._by_id.values())

    def find(self, key: Key) -> Asset | None:
        return self._by_key.get(key)

    def by_id(self, asset_id: str) -> Asset | None:
        return self._by_id.get(asset_id)

    def put(self, asset: Asset) -> None:
        """Place a new asset, or the next state of one that is there."""
        old = self._by_id.get(asset.asset_id)
        if old is None:
            self._order[asset.resource_type].append(asset.ordinal)
        elif old.key != asset.key:
            del self._by_key[old.key]
        self._by_key[asset.key] = self._by_id[asset.asset_id] = asset
        self._by_ordinal[asset.ordinal] = asset

    def remove(self, asset: Asset) -> None:
        order = self._order[asset.resource_type]
        del order[bisect_left(order, asset.ordinal)]
        del self._by_key[asset.key]
        del self._by_id[asset.asset_id]
        del self._by_ordinal[asset.ordinal]

    def page(
        self,
        resource_type: str,
        accept: Accept,
        *,
        after: int | None,
        oldest_first: bool,
        size: int,
    ) -> list[Asset]:
        """Up to `size` assets behind the ordinal `after`, the newest first by default."""
        walk = self._upwards if oldest_first else self._downwards
        ordinals = walk(self._order[resource_type], after)
        assets = (self._by_ordinal[ordinal] for ordinal in ordinals)
        return list(islice(filter(accept, assets), size))

    def named(self, accept: Accept, *, after: tuple[str, str] | None, size: int) -> list[Asset]:
        """Up to `size` assets in the order of public id and type, behind `after`."""
        found = sorted(filter(accept, self), key=name_of)
        start = 0 if after is None else bisect_right(found, after, key=name_of)
        return found[start : start + size]

    @staticmethod
    def _upwards(order: list[int], after: int | None) -> Iterator[int]:
        start = 0 if after is None else bisect_right(order, after)
        return (order[place] for place in range(start, len(order)))

    @staticmethod
    def _downwards(order: list[int], after: int | None) -> Iterator[int]:
        start = len(order) if after is None else bisect_left(order, after)
        return (order[place] for place in range(start - 1, -1, -1))


def name_of(asset: Asset) -> tuple[str, str]:
    """What a listing by name is sorted by."""
    return asset.public_id, asset.type
