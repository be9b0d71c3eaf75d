"""Wakes the promotion loop for a retry that is near."""

from __future__ import annotations

import asyncio


class Alarm:
    """Waits at most so long, and less when something has been announced for earlier."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._next: float | None = None

    def in_seconds(self, delay: float) -> None:
        """Something falls due after `delay` seconds."""
        due = asyncio.get_running_loop().time() + delay
        if self._next is None or due < self._next:
            self._next = due
            self._rung.set()

    async def wait(self, at_most: float) -> None:
        """Return after `at_most` seconds, or when the next announced thing is due."""
        clock = asyncio.get_running_loop().time
        end = clock() + at_most
        while (until := min(end, self._next if self._next is not None else end)) > clock():
            self._rung.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._rung.wait()
            except TimeoutError:
                break
        if self._next is not None and self._next <= clock() + 0.01:
            self._next = None
