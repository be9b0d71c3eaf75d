"""When the next request may go out, and how many went out lately. Not for threads by itself."""

from __future__ import annotations

from collections import deque

# A moment that was not used for so long is gone: nothing is made up for in a burst.
LAPSE_SECONDS = 0.25
SHARE_SECONDS = 5.0


class Meter:
    """Counts requests; all times are in seconds of one clock."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._before = 0

    def note(self, now: float) -> None:
        """One more request."""
        self._turn_to(int(now))
        self._count += 1

    def per_second(self, now: float) -> int:
        """Requests within the last full second or the present one, whichever has more."""
        self._turn_to(int(now))
        return max(self._count, self._before)

    def _turn_to(self, second: int) -> None:
        if second != self._second:
            self._before = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0


class Share:
    """How much of a limit that many share has been this process's lately."""

    def __init__(self, at_first: float) -> None:
        """`at_first`: requests a second, until something was granted."""
        self.per_second = at_first
        self._granted: deque[tuple[float, int]] = deque()
        self._since: float | None = None

    def granted(self, start: float, per_second: float, requests: int) -> None:
        """So many requests were granted at a pace, none also being something to learn from."""
        end = start + requests / per_second
        self._since = start if self._since is None else self._since
        self._granted.append((end, requests))
        while self._granted[0][0] < end - SHARE_SECONDS:
            self._granted.popleft()
        seconds = min(max(end - self._since, 1.0), SHARE_SECONDS)
        requests = max(sum(count for _, count in self._granted), 1)
        self.per_second = min(requests / seconds, per_second)

    def halve(self, *, least: float) -> None:
        """The storage asked for fewer; what is above `least` stays so."""
        self.per_second = max(self.per_second / 2, min(self.per_second, least))
        self._granted.clear()
        self._since = None


class Schedule:
    """The moments at which requests may go out, each for one request."""

    def __init__(self) -> None:
        self._blocks: deque[_Block] = deque()

    def add(self, start: float, per_second: float, requests: int) -> None:
        """That many more moments, beginning at `start`."""
        self._blocks.append(_Block(start, 1 / per_second, requests))

    def take(self, now: float) -> float | None:
        """The next moment, which may be in the past a little; None when there is none."""
        while self._blocks:
            block = self._blocks[0]
            moment = block.take(now)
            if not block.left:
                self._blocks.popleft()
            if moment is not None:
                return moment
        return None

    def end(self, now: float) -> float:
        """When the moments end; now where there are none."""
        return max([now, *(block.end for block in self._blocks)])

    def clear(self) -> None:
        """Forget all moments that nobody has taken."""
        self._blocks.clear()


class _Block:
    def __init__(self, start: float, step: float, left: int) -> None:
        self._next = start
        self._step = step
        self.left = left

    @property
    def end(self) -> float:
        return self._next + self.left * self._step

    def take(self, now: float) -> float | None:
        late = now - LAPSE_SECONDS - self._next
        if late > 0:
            self._skip(min(int(late / self._step) + 1, self.left))
        if not self.left:
            return None
        moment = self._next
        self._skip(1)
        return moment

    def _skip(self, count: int) -> None:
        self._next += count * self._step
        self.left -= count
