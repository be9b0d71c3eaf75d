"""Runs pieces of work: from the wake-up to the row's end.

The kernel owns the runs; a job in the queue only starts one and waits for it. So the queue's
worker may come and go with the database, and the runs go on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from worker.errors import Temporary, WorkError
from worker.logging import get_logger
from worker.queue.held import Held
from worker.queue.isolation import End, Isolation
from worker.queue.model import Claimed, Outcome, WorkKind, unexpected
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
        self._tokens: set[UUID] = set()
        self._held = Held(self.store)
        self._left: defaultdict[str, set[UUID]] = defaultdict(set)
        self._stopping = False

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
            log.debug("no longer waiting for the run", kind=kind.name)

    async def disown(self) -> int:
        """Give rows back that the database believes to be run here; returns their number."""
        return await self.store.disown(self._tokens)

    async def drain(self, *, grace: float) -> None:
        """Begin no more runs, and let those under way end, for at most `grace` seconds."""
        self._stopping = True
        if self._runs:
            await asyncio.wait(self._runs, timeout=grace)

    async def abort(self) -> None:
        """Stop all runs now: each gives its rows back, and no attempt counts.

        What was not begun goes back into the queue.
        """
        self._stopping = True
        runs = list(self._runs)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        for name, ids in self._held.stop().items():
            self._left[name] |= ids
        while self._left:
            name, ids = self._left.popitem()
            await self.store.requeue(name, ids)

    async def execute(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        """Run claimed rows and end them, whatever happens."""
        try:
            outcomes = await self._act(kind, works)
        except asyncio.CancelledError:
            await _to_its_end(self.settlement.release(kind, works))
            raise
        await _to_its_end(self.settlement.settle(kind, works, outcomes))

    async def _run(self, kind: WorkKind, ids: Sequence[UUID]) -> None:
        token = uuid4()
        try:
            async with self._slots:
                self._tokens.add(token)
                works = await self._claim(kind, ids, token)
                await self._work_off(kind, works)
        except Exception:
            log.exception("a run ended unexpectedly", kind=kind.name)
        finally:
            self._tokens.discard(token)

    async def _claim(self, kind: WorkKind, ids: Sequence[UUID], token: UUID) -> list[Claimed]:
        if self._stopping:
            self._left[kind.name].update(ids)
            return []
        try:
            works, held = await self.store.claim(kind.name, ids, token)
        except asyncio.CancelledError:
            # they may be ours by now, although nobody has told us
            asked = [Claimed(id_, token, attempts=0, crashes=0) for id_ in ids]
            await _to_its_end(self.settlement.release(kind, asked))
            self._left[kind.name].update(ids)
            raise
        self._held.add(kind.name, held)
        return works

    async def _work_off(self, kind: WorkKind, works: Sequence[Claimed]) -> None:
        isolation = self.isolation
        alone = [work for work in works if isolation and work.crashes >= ISOLATED_FROM]
        together = [work for work in works if work not in alone]
        try:
            if together:
                await self.execute(kind, together)
            while alone and isolation:
                await self._run_alone(kind, alone.pop(), isolation)
        finally:
            if alone:
                await _to_its_end(self.settlement.release(kind, alone))

    async def _run_alone(self, kind: WorkKind, work: Claimed, isolation: Isolation) -> None:
        try:
            end = await isolation.run(kind.name, work, seconds=kind.run_seconds)
        except asyncio.CancelledError:
            await _to_its_end(self.settlement.release(kind, [work]))
            raise
        if end is End.DIED:
            await _to_its_end(self.settlement.died_alone(kind, work))
        elif end is End.STOPPED:
            await _to_its_end(self.settlement.release(kind, [work]))
        else:
            self.settlement.count_alone(failed=end is End.FAILED)

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
            bug = unexpected(error, kind=kind.name)
            return {work.id: bug for work in works}


async def _to_its_end(step: Coroutine[Any, Any, None]) -> None:
    """Wait for a step that must not be left half done; a cancellation comes afterwards."""
    task = asyncio.create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
