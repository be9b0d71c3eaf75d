"""Says that the rate limit is reached: once for each of its periods, however many wait for it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from worker.cloudinary.failures import Limited
from worker.logging import get_logger

log = get_logger(__name__)


class LimitLog:
    """One line in the log per period and `reason`; for many threads."""

    def __init__(self) -> None:
        self._until: defaultdict[str, float] = defaultdict(lambda: -math.inf)  # monotonic

    def say(self, limited: Limited, *, reason: str) -> None:
        """The limit keeps work from being done; `reason` says which calls there are none for."""
        now = time.monotonic()
        if now < self._until[reason]:
            return
        self._until[reason] = now + limited.retry_after
        reset_at = datetime.now(UTC) + timedelta(seconds=limited.retry_after)
        log.warning(
            "Cloudinary's rate limit is reached", reason=reason, waiting_until=f"{reset_at:%FT%TZ}"
        )
