"""How a run's outcome becomes the row's state."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless, Temporary, WorkError
from worker.logging import get_logger
from worker.queue.model import Again, Claimed, Done, Failed, Outcome, Recorded, WorkKind
from worker.queue.store import WorkStore, plain_text
from worker.queue.timers import Alarm
from worker.retry import next_delay

log = get_logger(__name__)
CANCELLED = "cancelled: "
CRASHED = "crashed the worker: look at its log, then set status to pending"
UNRECORDED = "the result could not be recorded: see the worker's log"
# How long an outage counts as going on: it is probed once a minute.
OUTAGE_SECONDS = 150.0
# With one service out of order and others at work, promotion is not to run all the time.
PAUSE_OF_WAKING = 5.0
UNREMARKABLE = (Done(), Done(reached_service=False))

Ending = Outcome | Outage | ClaimLost
Tries = dict[UUID, tuple[float | None, str | None]]
T = TypeVar("T")


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
        self._outage_until = self._next_ring = -math.inf  # by the monotonic clock
        self.tally = Tally()

    async def settle(
        self,
        kind: WorkKind,
        works: Sequence[Claimed],
        outcomes: Mapping[UUID, Outcome | WorkError],
    ) -> None:
        """Write what came of each row, in sets where many ended alike."""
        ended = [(work, self._judge(kind, work, outcomes.get(work.id))) for work in works]
        for alike in _by_class(ended):
            try:
                await self._write(kind, alike)
            except Exception:
                # one kind of ending must not keep the others from theirs
                log.exception("results could not be recorded", kind=kind.name, count=len(alike))
                await self._put_off(kind, [work for work, _ in alike])
        for _, outcome in ended:
            self._count(outcome)
        self._report(kind, ended)

    async def release(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        """Give rows back as if they had not been tried."""
        tries: Tries = {work.id: (None, None) for work in works}
        await self._store.reschedule(kind.name, works[0].token, tries, counted=False)
        log.info("work given back", kind=kind.name, count=len(works))

    async def died_alone(self, kind: WorkKind, work: Claimed) -> None:
        """The row's own process died: it is tried again later, or given up after the third time."""
        if await self._store.died_alone(kind.name, work):
            await self.settle(kind, [work], {work.id: Failed(CRASHED)})
        else:
            log.error("the process of a row died", kind=kind.name, id=str(work.id))
            self.tally.again += 1

    def count_alone(self, *, failed: bool) -> None:
        """The row's own process has ended it."""
        self._count(Failed("") if failed else Done())

    def _judge(self, kind: WorkKind, work: Claimed, outcome: Outcome | WorkError | None) -> Ending:
        match outcome:
            case Pointless():
                return Done(f"{CANCELLED}{outcome}", reached_service=False)
            case Permanent():
                return Failed(str(outcome))
            case Busy():
                return Again(
                    str(outcome), outcome.retry_after, counted=False, announced=outcome.announced
                )
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

    async def _write(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Ending]]) -> None:
        match ended[0][1]:
            case Done():
                await self._complete(kind, _only(ended, Done))
            case Again():
                await self._repeat(kind, _only(ended, Again))
            case Failed():
                for work, failed in _only(ended, Failed):
                    await self._fail(kind, work, failed)
            case Outage():
                await self._wait(kind, _only(ended, Outage))
            case ClaimLost():
                await self._let_go(kind, [work for work, _ in ended])
            case Recorded():
                self._wake_waiting()

    async def _complete(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Done]]) -> None:
        for reached in (True, False):
            notes = {w.id: done.note for w, done in ended if done.reached_service is reached}
            if notes:
                await self._store.finish(
                    kind.name, ended[0][0].token, notes, reached_service=reached
                )
                self._wake_waiting()

    async def _repeat(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Again]]) -> None:
        for counted in (True, False):
            tries: Tries = {w.id: (a.delay, a.message) for w, a in ended if a.counted is counted}
            if tries:
                await self._store.reschedule(kind.name, ended[0][0].token, tries, counted=counted)
        for _, again in ended:
            if again.delay is not None:
                self._alarm.in_seconds(again.delay)

    async def _fail(self, kind: WorkKind, work: Claimed, outcome: Failed) -> None:
        message = plain_text(outcome.message)
        if kind.on_failure is not None:
            try:
                return await kind.on_failure(work, message)
            except Exception:
                # what comes with the failure is missing then, but it is a failure all the same
                log.exception("a failure's own ending failed", kind=kind.name, id=str(work.id))
        return await self._store.finish(kind.name, work.token, {work.id: message}, status="failed")

    async def _wait(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Outage]]) -> None:
        for service in {outage.service for _, outage in ended}:
            of_it = [(work, outage) for work, outage in ended if outage.service == service]
            outage = of_it[0][1]
            await self._store.wait_for_service(
                kind.name,
                of_it[0][0].token,
                [work.id for work, _ in of_it],
                service=service,
                message=str(outage),
                probe_delays=self._probe_delays(outage),
            )
        self._outage_until = time.monotonic() + OUTAGE_SECONDS
        self._alarm.in_seconds(self._delays[0])

    async def _let_go(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        # Nobody else has them after all where the lease was over for a moment only (a paused
        # process): then nobody else would give them back. Writes nothing where the claim is gone.
        tries: Tries = {work.id: (1.0, None) for work in works}
        await self._store.reschedule(kind.name, works[0].token, tries, counted=False)
        self._alarm.in_seconds(1.0)

    async def _put_off(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        tries: Tries = {work.id: (self._delays[-1], UNRECORDED) for work in works}
        await self._store.reschedule(kind.name, works[0].token, tries, counted=True)

    def _wake_waiting(self) -> None:
        """A service works, or was not asked after all: in an outage others may wait for that."""
        now = time.monotonic()
        if now < self._outage_until:
            ring = max(now, self._next_ring)
            self._alarm.in_seconds(ring - now)
            self._next_ring = ring if ring > now else now + PAUSE_OF_WAKING

    def _probe_delays(self, outage: Outage) -> list[float]:
        return [max(delay, outage.retry_after or 0.0) for delay in self._delays]

    def _count(self, outcome: Ending) -> None:
        match outcome:
            case Done() | Recorded(status="completed"):
                self.tally.completed += 1
            case Failed() | Recorded(status="failed"):
                self.tally.failed += 1
            case Again() | Recorded():
                self.tally.again += 1
            case Outage():
                self.tally.waiting += 1

    def _report(self, kind: WorkKind, ended: Sequence[tuple[Claimed, Ending]]) -> None:
        quiet = [work for work, outcome in ended if outcome in UNREMARKABLE]
        if len(quiet) > 1:  # a line for each would cost more than the work
            log.info("work completed", kind=kind.name, count=len(quiet))
        for work, outcome in ended:
            if len(quiet) <= 1 or outcome not in UNREMARKABLE:
                said = log.bind(kind=kind.name, id=str(work.id), attempts=work.attempts)
                _report_one(said, outcome)


def _report_one(said: Any, outcome: Ending) -> None:
    match outcome:
        case Failed(message):
            said.error("work failed", error=message)
        case Again(announced=True):
            pass
        case Again(message, delay):
            said.warning("work is tried again", error=message, delay=delay)
        case Outage():
            said.warning("work waits for a service", service=outcome.service, error=str(outcome))
        case ClaimLost():
            said.warning("another run has taken the work over")
        case Done(note):
            said.info("work completed", note=note)
        case Recorded(status):
            said.info("work recorded", status=status)


def _by_class(ended: Sequence[tuple[Claimed, Ending]]) -> list[list[tuple[Claimed, Ending]]]:
    groups: dict[type, list[tuple[Claimed, Ending]]] = {}
    for work, outcome in ended:
        groups.setdefault(type(outcome), []).append((work, outcome))
    return list(groups.values())


def _only(ended: Sequence[tuple[Claimed, Ending]], wanted: type[T]) -> list[tuple[Claimed, T]]:
    return [(work, outcome) for work, outcome in ended if isinstance(outcome, wanted)]
