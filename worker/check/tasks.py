"""check's duty: once a day, on one of the workers."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import time
from uuid import UUID

from worker.check.model import Options, PlaceReport
from worker.check.setup import Grounds, check
from worker.check.store import Turns
from worker.logging import get_logger
from worker.queue.duties import Duty
from worker.queue.store import Caller

log = get_logger(__name__)

# Seconds that the daily check waits for the account's rate limit: its periods are hours.
PATIENCE = 3700.0


@dataclass(frozen=True)
class DailyCheck:
    """Checks all places once a day over all workers; one that was missed is made up for."""

    database: Caller
    worker_id: UUID
    grounds: Grounds
    executor: Executor
    daily_at: time
    options: Options

    async def __call__(self) -> int:
        """Check if it is this worker's turn. Each place's result is a line in the log."""
        turns = Turns(self.database, self.worker_id)
        if not await turns.take(self.daily_at):
            return 0
        now = check(
            self.database, self.grounds, self.executor, options=self.options, patience=PATIENCE
        )
        report = await now()
        await turns.ended()
        for place in report.places:
            _log(place)
        if report.stopped:
            log.warning("check deleted nothing", reason=report.stopped)
        return 0


def check_duty(
    database: Caller,
    worker_id: UUID,
    grounds: Grounds,
    executor: Executor,
    *,
    daily_at: time,
    options: Options,
) -> Duty:
    """The daily check; a dry run unless the options say otherwise."""
    return Duty(
        "daily check", 60.0, DailyCheck(database, worker_id, grounds, executor, daily_at, options)
    )


def _log(place: PlaceReport) -> None:
    say = log.info if place.agrees else log.warning
    say("checked", **place.as_json())
