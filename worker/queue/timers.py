"""Wakes the promotion loop for retries that are near."""

from __future__ import annotations

import asyncio
import heapq
import math

# What falls due later is found by the loop's own rhythm.
HORIZON_SECONDS = 60.0
# Announcements within the same tenth of a second ring once.
STEPS_PER_SECOND = 10


class Alarm:
    """Waits at most so long, and less when something has been announced for earlier."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._due: list[int] = []

    def in_seconds(self, delay: float) -> None:
        """Something falls due after `delay` seconds."""
        step = math.ceil((_now() + delay) * STEPS_PER_SECOND)
        if delay <= HORIZON_SECONDS and step not in self._due:
            heapq.heappush(self._due, step)
            self._changed.set()

    async def wait(self, at_most: float) -> None:
        """Return after `at_most` seconds, or when the next announced thing is due."""
        end = _now() + at_most
        while (until := min(end, self._next())) > _now():
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
        while self._next() <= _now():
            heapq.heappop(self._due)

    def _next(self) -> float:
        return self._due[0] / STEPS_PER_SECOND if self._due else math.inf


def _now() -> float:
    return asyncio.get_running_loop().time()
