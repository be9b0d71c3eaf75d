"""check's SQL calls that concern no kind of place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from worker.check.model import PlaceReport
from worker.queue.store import Caller, patiently

# The application has the row, or another check does.
HELD = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
briefly = retry(
    retry=retry_if_exception_type(HELD),
    wait=wait_random_exponential(multiplier=0.05, max=1),
    stop=stop_after_attempt(6),
    retry_error_callback=lambda _state: "held",
)


class CheckStore:
    """The beginning, the end and the results of one check (`run`)."""

    def __init__(self, database: Caller, run: UUID) -> None:
        self._database = database
        self._run = run

    async def begin(self, older_than: timedelta) -> datetime:
        """The cut-off, by the database's clock: what was touched after it is no finding."""
        rows = await self._database.call(
            "select media_worker.check_begin(%s) as cut_off", (older_than,)
        )
        cut_off: datetime = rows[0]["cut_off"]
        return cut_off

    @patiently
    async def end(self) -> None:
        """Forget what was noted for this check."""
        await self._database.call("select media_worker.check_end(%s)", (self._run,))

    @patiently
    async def record(self, reports: Sequence[PlaceReport]) -> None:
        """Keep what the check has shown."""
        results = [report.as_json() for report in reports]
        await self._database.call("select media_worker.check_record(%s)", (Jsonb(results),))


class Turns:
    """Which worker carries out the daily check."""

    def __init__(self, database: Caller, worker_id: UUID) -> None:
        self._database = database
        self._worker_id = worker_id

    async def take(self, at: time) -> bool:
        """True for the one worker that is to check now."""
        rows = await self._database.call(
            "select media_worker.check_turn(%s::time, %s) as mine",
            (at.isoformat(), self._worker_id),
        )
        return bool(rows[0]["mine"])

    @patiently
    async def ended(self) -> None:
        """The check was carried out."""
        await self._database.call("select media_worker.check_turn_ended(%s)", (self._worker_id,))
