"""Runs pieces of work: from the wake-up to the row's end.

The kernel owns the runs; a job in the queue only starts one and waits for it. So the queue's
worker may come and go with the database, and the runs go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from worker.errors import Temporary, WorkError
from worker.logging import get_logger
from worker.queue.held import Held
from worker.queue.isolation import Isolation
from worker.queue.model import Claimed, Outcome, WorkKind
from worker.queue.settlement import Settlement, Tally
from worker.queue.store import WorkStore

log = get_logger(__name__)
# From this crash on a row runs in a process of its own.
ISOLATED_FROM = 2


@dataclass
class Kernel:
    """Claims, runs and ends work of several kinds, with at most `concurrency` runs at a time."""

    store: WorkStore
    kinds: Mapping[str, WorkKind]
    settlement: Settlement
    concurrency: int = 16
    isolation: Isolation | None = None

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)
        self._runs: set[asyncio.Task[None]] = set()
        self._held = Held(self.store)

    @property
    def tally(self) -> Tally:
        """What came of this process's rows so far."""
        return self.settlement.tally

    @property
    def running(self) -> int:
        """Runs under way or waiting for a slot."""
        return len(self._runs)

    async def wake(self, kind: WorkKind, ids: Sequence[UUID]) -> None:
        """Do what a job asks for. Cancelling this call leaves the run alone."""
        run = asyncio.create_task(self._run(kind, ids), name=f"run {kind.name}")
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        try:
            await asyncio.shield(run)
        except asyncio.CancelledError:
            if run.cancelled():
                log.debug("run cancelled", kind=kind.name)

    async def drain(self, *, grace: float) -> None:
        """Let the runs end; those that have not after `grace` seconds give their rows back."""
        self._held.stop()
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace)
        await self.abort()

    async def abort(self) -> None:
        """Stop all runs now: each gives its rows back, and no attempt counts."""
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)

    async def execute(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        """Run claimed rows and end them, whatever happens."""
        try:
            outcomes = await self._act(kind, works)
        except asyncio.CancelledError:
            await asyncio.shield(self.settlement.release(kind, works))
            raise
        await self.settlement.settle(kind, works, outcomes)

    async def _run(self, kind: WorkKind, ids: Sequence[UUID]) -> None:
        async with self._slots:
            works, held = await self.store.claim(kind.name, ids, uuid4())
            self._held.add(kind.name, held)
            isolation = self.isolation
            alone = [work for work in works if isolation and work.crashes >= ISOLATED_FROM]
            together = [work for work in works if work not in alone]
            if together:
                await self.execute(kind, together)
            for work in alone:
                await self._run_alone(kind, work, isolation)

    async def _run_alone(self, kind: WorkKind, work: Claimed, isolation: Isolation | None) -> None:
        try:
            survived = isolation is None or await isolation.run(kind.name, work)
        except asyncio.CancelledError:
            await asyncio.shield(self.settlement.release(kind, [work]))
            raise
        if not survived:
            await self.settlement.crashed(kind, work)

    async def _act(
        self, kind: WorkKind, works: Sequence[Claimed]
    ) -> Mapping[UUID, Outcome | WorkError]:
        try:
            async with asyncio.timeout(kind.run_seconds):
                return await kind.act(works)
        except WorkError as error:
            return {work.id: error for work in works}
        except TimeoutError:
            late = Temporary(f"gave up after {kind.run_seconds:.0f} s")
            return {work.id: late for work in works}
        except Exception as error:
            log.exception("a run failed unexpectedly", kind=kind.name)
            unexpected = Temporary(f"unexpected error, please report it: {type(error).__name__}")
            return {work.id: unexpected for work in works}
