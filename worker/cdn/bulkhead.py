"""Keeps a slow target from occupying all slots of a process."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.errors import Busy

FIRST_GUESS = 1.0  # seconds that a run takes
WEIGHT_OF_THE_LAST = 0.2
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 300.0


class Bulkhead:
    """Lets `room` runs of one target be under way at a time, and tells others when to come again.

    They come as room falls free: the more wait already and the longer runs take, the later.
    `kept` of the room is for new work: that which stays `behind` does not take it, and new work
    does not wait for what waits of the other.
    """

    def __init__(
        self, room: int, *, kept: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._room = room
        self._kept = kept
        self._clock = clock
        self._began: dict[object, float] = {}
        self._expected: dict[bool, list[float]] = {True: [], False: []}
        self._usual = FIRST_GUESS

    @contextmanager
    def enter(self, name: str, *, behind: bool = False) -> Iterator[None]:
        """Be one of the runs of the target `name`; raises `Busy` when there is no room."""
        if len(self._began) >= self._room - (self._kept if behind else 0):
            pause = self._pause(self._expected[behind])
            raise Busy(f"enough work on {name} is under way; waiting", retry_after=pause)
        run = object()
        self._began[run] = self._clock()
        try:
            yield
        finally:
            took = self._clock() - self._began.pop(run)
            self._usual += WEIGHT_OF_THE_LAST * (took - self._usual)

    def _pause(self, expected: list[float]) -> float:
        """Until it is the turn of one more that waits."""
        now = self._clock()
        while expected and expected[0] <= now:
            heapq.heappop(expected)
        turn = (len(expected) + 1) * self._run_seconds(now) / self._room
        pause = min(max(turn, SHORTEST_PAUSE), LONGEST_PAUSE)
        heapq.heappush(expected, now + pause)
        return pause

    def _run_seconds(self, now: float) -> float:
        """As long as runs usually take, or as those take that hang now."""
        under_way = sum(now - began for began in self._began.values()) / len(self._began)
        return max(self._usual, under_way)


def room_for_each(slots: int, *, targets: int) -> int:
    """How many of a process's slots one of so many targets may have."""
    return slots if targets < 2 else max(slots * 3 // 4, 1)


def kept_for_new(slots: int, *, targets: int) -> int:
    """How many of those are for new work; a single target's work comes in order anyway."""
    return 0 if targets < 2 else room_for_each(slots, targets=targets) // 4
