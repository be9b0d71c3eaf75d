"""What happened to assets, when, and who asked for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from worker.demo.cloudinary.assets import Asset

Kind = Literal[
    "upload",
    "overwrite",
    "delete",
    "rename",
    "tags",
    "context",
    "metadata",
    "display_name",
    "asset_folder",
]


@dataclass(frozen=True)
class Origin:
    """Who asked: the kind of API call, or `console` for a person; `asked_at` is its arrival."""

    call: str
    asked_at: float
    notification_url: str = ""

    @property
    def source(self) -> str:
        return "ui" if self.call == "console" else "api"


@dataclass(frozen=True)
class Change:
    """One thing that was done at once, to one asset or to many.

    Pairs of before and after: nothing before an upload, nothing after a deletion.
    """

    kind: Kind
    at: float
    origin: Origin
    pairs: tuple[tuple[Asset | None, Asset | None], ...]


@dataclass(frozen=True)
class Effect:
    """What a change did to one asset.

    `at` and `asked_at` are seconds since 1970: when it happened, and when the call that asked
    for it had arrived. `version` is the one that was written, or that was deleted.
    """

    number: int
    at: float
    asked_at: float
    call: str
    kind: Kind
    before: Asset | None
    after: Asset | None

    @property
    def asset(self) -> Asset:
        """As it is afterwards; a deleted one as it was."""
        asset = self.after or self.before
        if asset is None:
            raise ValueError("an effect without asset")
        return asset

    @property
    def public_id(self) -> str:
        return self.asset.public_id

    @property
    def version(self) -> int:
        return self.asset.version


class Journal:
    """Every effect, oldest first. It may be read while things happen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._effects: list[Effect] = []

    def __iter__(self) -> Iterator[Effect]:
        with self._lock:
            return iter(list(self._effects))

    def __len__(self) -> int:
        return len(self._effects)

    def of(self, *kinds: Kind, public_id: str | None = None) -> list[Effect]:
        """The effects of these kinds (all without any), on one public id or on all."""
        return [
            effect
            for effect in self
            if (not kinds or effect.kind in kinds) and public_id in (None, effect.public_id)
        ]

    def clear(self) -> None:
        with self._lock:
            self._effects.clear()

    def write(self, change: Change) -> None:
        with self._lock:
            self._effects.extend(_effects(change, start=len(self._effects) + 1))


def _effects(change: Change, *, start: int) -> Iterable[Effect]:
    origin = change.origin
    for number, (before, after) in enumerate(change.pairs, start):
        yield Effect(number, change.at, origin.asked_at, origin.call, change.kind, before, after)
