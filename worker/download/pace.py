"""How long a download may wait: for a byte, for an answer, and altogether."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.download.policy import DownloadPolicy
from worker.download.transport import Broken, TransportError

# Heads, chunk sizes and redirects of one download, in bytes, on top of twice the file.
_OVERHEAD = 1024 * 1024


class Pace:
    """The clock of one download, from its first connection to the end of its last resume."""

    def __init__(self, policy: DownloadPolicy) -> None:
        self._policy = policy
        self._deadline = time.monotonic() + policy.total_timeout
        self._head_deadline = math.inf
        self._waited = 0.0
        self._came = 0
        self._on_the_wire = 0

    @contextmanager
    def head(self) -> Iterator[None]:
        """Within, a whole response head must come in the time that is otherwise a byte's."""
        self._head_deadline = time.monotonic() + self._policy.read_timeout
        try:
            yield
        finally:
            self._head_deadline = math.inf

    def patience(self, wanted: float) -> float:
        """Seconds to wait for what may take `wanted`; raises TransportError past the deadline."""
        now = time.monotonic()
        if now >= self._deadline:
            limit = self._policy.total_timeout
            raise TransportError(f"the download was not complete after {limit:g} seconds")
        if now >= self._head_deadline:
            raise Broken(f"it did not answer within {self._policy.read_timeout:g} seconds")
        return min(wanted, self._deadline - now, self._head_deadline - now)

    def count(self, size: int, *, waited: float) -> None:
        """Note that `size` bytes came after `waited` seconds; raises TransportError when too slow.

        Only time spent waiting for the provider counts, so that a slow reader is not held
        against it.
        """
        self._on_the_wire += size
        if self._on_the_wire > 2 * self._policy.max_bytes + _OVERHEAD:
            raise TransportError("it sends far more bytes than the file can have")
        self._came += size
        self._waited += waited
        if self._waited < self._policy.speed_window:
            return
        speed = self._came / self._waited
        self._came, self._waited = 0, 0.0
        if speed < self._policy.min_speed:
            raise TransportError(
                f"it sends {speed:.0f} bytes a second, less than {self._policy.min_speed}"
            )
