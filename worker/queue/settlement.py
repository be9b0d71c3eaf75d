"""How a run's outcome becomes the row's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless, Temporary, WorkError
from worker.logging import get_logger
from worker.queue.model import Again, Claimed, Done, Failed, Outcome, Recorded, WorkKind
from worker.queue.store import WorkStore
from worker.queue.timers import Alarm
from worker.retry import next_delay

log = get_logger(__name__)
# After a crash of the row's own process, by the number of crashes so far (two or more).
CRASH_DELAYS = (10.0, 60.0, 300.0)
CANCELLED = "cancelled: "


@dataclass
class Tally:
    """What came of the rows of this process so far."""

    completed: int = 0
    failed: int = 0
    again: int = 0
    waiting: int = 0


class Settlement:
    """Ends claimed rows: completed, failed, to be tried again, or waiting for a service.

    `delays` are the seconds to the second, third, … try. `alarm` is told when a retry is near.
    """

    def __init__(self, store: WorkStore, *, delays: Sequence[float], alarm: Alarm) -> None:
        self._store = store
        self._delays = delays
        self._alarm = alarm
        self.tally = Tally()

    async def settle(
        self,
        kind: WorkKind,
        works: Sequence[Claimed],
        outcomes: Mapping[UUID, Outcome | WorkError],
    ) -> None:
        """Write what came of each row, in sets where many ended alike."""
        ended = [(work, self._judge(kind, work, outcomes.get(work.id))) for work in works]
        await self._complete(kind, [(w, o) for w, o in ended if isinstance(o, Done)])
        await self._repeat(kind, [(w, o) for w, o in ended if isinstance(o, Again)])
        for work, outcome in ended:
            if isinstance(outcome, Failed):
                await self._fail(kind, work, outcome)
            elif isinstance(outcome, Outage):
                await self._wait(kind, work, outcome)
            self._count(outcome)
            self._report(kind, work, outcome)

    async def release(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        """Give rows back as if they had not been tried."""
        tries: dict[UUID, tuple[float | None, str | None]] = {w.id: (None, None) for w in works}
        await self._store.reschedule(kind.name, works[0].token, tries, counted=False)
        log.info("work given back", kind=kind.name, count=len(works))

    async def crashed(self, kind: WorkKind, work: Claimed) -> None:
        """The row's own process died: try again later, or give up after the third crash."""
        if await self._store.count_child_crash(kind.name, work):
            outcome: Outcome = Failed(
                "crashed the worker: look at its logs, then set status to pending"
            )
        else:
            delay = CRASH_DELAYS[min(work.crashes - 1, len(CRASH_DELAYS) - 1)]
            outcome = Again("its process died", delay, counted=False)
        await self.settle(kind, [work], {work.id: outcome})

    def _judge(
        self, kind: WorkKind, work: Claimed, outcome: Outcome | WorkError | None
    ) -> Outcome | Outage | ClaimLost:
        match outcome:
            case Pointless():
                return Done(f"{CANCELLED}{outcome}", reached_service=False)
            case Permanent():
                return Failed(str(outcome))
            case Busy():
                return Again(str(outcome), outcome.retry_after, counted=False)
            case Temporary():
                return self._next_try(kind, work, outcome)
            case Outage() | ClaimLost() | Done() | Again() | Failed() | Recorded():
                return outcome
            case _:
                return self._next_try(kind, work, Temporary("the run did not say what came of it"))

    def _next_try(self, kind: WorkKind, work: Claimed, error: Temporary) -> Outcome:
        if work.attempts >= kind.max_attempts:
            return Failed(f"gave up after {work.attempts} tries: {error}")
        delay = next_delay(work.attempts, delays=self._delays, retry_after=error.retry_after)
        return Again(str(error), delay)

    async def _complete(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Done]]) -> None:
        for reached in (True, False):
            notes = {w.id: done.note for w, done in ended if done.reached_service is reached}
            if notes:
                await self._store.finish(
                    kind.name, ended[0][0].token, notes, reached_service=reached
                )

    async def _repeat(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Again]]) -> None:
        for counted in (True, False):
            tries = {w.id: (a.delay, a.message) for w, a in ended if a.counted is counted}
            if tries:
                await self._store.reschedule(kind.name, ended[0][0].token, tries, counted=counted)
        for _, again in ended:
            self._alarm.in_seconds(again.delay or 0.0)

    async def _fail(self, kind: WorkKind, work: Claimed, outcome: Failed) -> None:
        if kind.on_failure is not None:
            await kind.on_failure(work, outcome.message)
        else:
            await self._store.finish(
                kind.name, work.token, {work.id: outcome.message}, status="failed"
            )

    async def _wait(self, kind: WorkKind, work: Claimed, outage: Outage) -> None:
        await self._store.wait_for_service(
            kind.name,
            work.token,
            [work.id],
            service=outage.service,
            message=str(outage),
            probe_delays=self._probe_delays(outage),
        )
        self._alarm.in_seconds(self._delays[0])

    def _probe_delays(self, outage: Outage) -> list[float]:
        return [max(delay, outage.retry_after or 0.0) for delay in self._delays]

    def _count(self, outcome: Outcome | Outage | ClaimLost) -> None:
        match outcome:
            case Done() | Recorded(status="completed"):
                self.tally.completed += 1
            case Failed() | Recorded(status="failed"):
                self.tally.failed += 1
            case Again() | Recorded():
                self.tally.again += 1
            case Outage():
                self.tally.waiting += 1

    def _report(self, kind: WorkKind, work: Claimed, outcome: Outcome | Outage | ClaimLost) -> None:
        said = log.bind(kind=kind.name, id=str(work.id), attempts=work.attempts)
        match outcome:
            case Failed(message):
                said.error("work failed", error=message)
            case Again(message, delay):
                said.warning("work is tried again", error=message, delay=delay)
            case Outage():
                said.warning(
                    "work waits for a service", service=outcome.service, error=str(outcome)
                )
            case ClaimLost():
                said.warning("another run has taken the work over")
            case Done(note):
                said.info("work completed", note=note)
            case Recorded(status):
                said.info("work recorded", status=status)
