"""When to try again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# With less than this many seconds left, the next try is the last one.
END_GAME = 20.0
# The last try begins so many seconds before the deadline; with less left there is none.
LAST_TRY = 5.0


def next_delay(
    attempts: int,
    *,
    delays: Sequence[float],
    retry_after: float | None = None,
    seconds_left: float | None = None,
    jitter: Callable[[], float] = random.random,
) -> float | None:
    """Seconds until the next try, or None when there is none left that could help.

    `attempts` have been made. The delay is the one of `delays` in that place, the last one for
    all further, times 0.75 to 1.25; it is never shorter than `retry_after`. With `seconds_left`
    before a deadline it is at most half of them, so that a late success is still in time, and at
    the end one last try is made shortly before the deadline.
    """
    base = delays[min(max(attempts, 1), len(delays)) - 1] * (0.75 + 0.5 * jitter())
    floor = retry_after or 0.0
    if seconds_left is None:
        return max(base, floor)
    if seconds_left <= LAST_TRY or floor >= seconds_left:
        return None
    return max(min(base, _latest(seconds_left)), floor)


def _latest(seconds_left: float) -> float:
    # Halving alone would end in a storm of ever shorter delays.
    return seconds_left / 2 if seconds_left > END_GAME else seconds_left - LAST_TRY
