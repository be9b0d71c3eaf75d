"""How many Admin API calls an account may make in a period."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate

from worker.demo.cloudinary.wire import Refused

GENEROUS = 1_000_000  # calls: an account whose budget no test has set


class Budget:
    """A number of calls per period of seconds. Once it is spent, calls are refused unseen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.set(GENEROUS)

    def set(self, calls: int, *, period: float = 3600.0, status: int = 420) -> None:
        """Begin a period with so many calls; refusals have this status."""
        with self._lock:
            self._calls, self._period, self._status = calls, period, status
            self._begin()

    @property
    def remaining(self) -> int:
        with self._lock:
            self._turn()
            return self._remaining

    @property
    def reset_at(self) -> float:
        """When the next period begins, in seconds since 1970."""
        with self._lock:
            self._turn()
            return self._ends

    def headers(self) -> dict[str, str]:
        """What every answer of the Admin API says about the budget."""
        with self._lock:
            self._turn()
            return limit_headers(self._calls, self._remaining, self._ends)

    def spend(self) -> None:
        """Take one call out of it. Raises Refused when none is left."""
        with self._lock:
            self._turn()
            if self._remaining > 0:
                self._remaining -= 1
                return
            raise exhausted(self._calls, self._ends, self._status)

    def _turn(self) -> None:
        if self._clock() >= self._ends:
            self._begin()

    def _begin(self) -> None:
        self._remaining = self._calls
        # The header has whole seconds: a client that waits for them must not come too early.
        self._ends = float(math.ceil(self._clock() + self._period))


def exhausted(calls: int, ends: float, status: int = 420) -> Refused:
    """The refusal of a call beyond the budget."""
    again = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    message = f"Rate Limit Exceeded. Limit of {calls} api operations reached. Try again on {again}"
    return Refused(status, message, limit_headers(calls, 0, ends))


def limit_headers(calls: int, remaining: int, ends: float) -> dict[str, str]:
    """The three headers; the reset is a date as HTTP writes it."""
    return {
        "X-FeatureRateLimit-Limit": str(calls),
        "X-FeatureRateLimit-Remaining": str(remaining),
        "X-FeatureRateLimit-Reset": formatdate(ends, usegmt=True),
    }
