"""What several runs need at about the same time is fetched once, and given to all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
KEEP_SECONDS = 5.0


@dataclass
class _Entry(Generic[T]):
    began: float
    task: asyncio.Task[T]
    callers: int = 0
    weight: int = 0


class Shared(Generic[T]):
    """Fetches things by name, one at a time for a name, and keeps each for a moment.

    A caller gets what was begun at or after `since` (monotonic clock, seconds) only: what it was
    asked to look at may have changed just before it was asked. An error goes to all who wait for
    it, and is not kept. What nobody waits for any more is cancelled.

    Kept are things for `keep` seconds after their last use, the newest of them up to `most` by
    their `weight` together; without, any number.
    """

    def __init__(
        self,
        *,
        keep: float = KEEP_SECONDS,
        weight: Callable[[T], int] = lambda _: 0,
        most: int = 0,
    ) -> None:
        self._keep = keep
        self._weight = weight
        self._most = most
        self._entries: dict[Hashable, _Entry[T]] = {}

    async def get(self, name: Hashable, make: Callable[[], Awaitable[T]], *, since: float) -> T:
        """The thing of that name; `make` fetches it."""
        entry = self._entries.pop(name, None)
        if entry is None or entry.began < since:
            entry = _Entry(time.monotonic(), asyncio.create_task(_coroutine(make)))
        self._entries[name] = entry  # at the end: the order is that of the last use
        entry.callers += 1
        try:
            return await asyncio.shield(entry.task)
        finally:
            entry.callers -= 1
            if not entry.callers:
                self._leave(name, entry)

    def _leave(self, name: Hashable, entry: _Entry[T]) -> None:
        """The last caller has gone."""
        if not entry.task.done():
            entry.task.cancel()
            self._forget(name, entry)
        elif entry.task.cancelled() or entry.task.exception() is not None:
            self._forget(name, entry)
        else:
            entry.weight = self._weight(entry.task.result())
            asyncio.get_running_loop().call_later(self._keep, self._forget_unused, name, entry)
            self._make_room()

    def _make_room(self) -> None:
        """The oldest go first; one that is in use lives on, without being shared further."""
        total = sum(entry.weight for entry in self._entries.values())
        for name, entry in list(self._entries.items()):
            if not self._most or total <= self._most:
                return
            if entry.weight:
                total -= entry.weight
                self._forget(name, entry)

    def _forget_unused(self, name: Hashable, entry: _Entry[T]) -> None:
        if not entry.callers:
            self._forget(name, entry)

    def _forget(self, name: Hashable, entry: _Entry[T]) -> None:
        if self._entries.get(name) is entry:
            del self._entries[name]


async def _coroutine(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
