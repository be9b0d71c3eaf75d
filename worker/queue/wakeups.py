"""Listens to the queue: procrastinate's worker hands each job's ids to the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

import procrastinate
from procrastinate.job_context import JobContext
from procrastinate.worker import Worker

from worker.logging import get_logger
from worker.queue.connector import QueueConnector
from worker.queue.model import WorkKind

log = get_logger(__name__)
Wake = Callable[[WorkKind, Sequence[UUID]], Awaitable[None]]
POLLING_SECONDS = 1.0
STALLED_SECONDS = 30.0


def queue_app(
    connector: QueueConnector, kinds: Iterable[WorkKind], wake: Wake
) -> procrastinate.App:
    """An app whose tasks do nothing but wake the kernel."""
    app = procrastinate.App(connector=connector)
    for kind in kinds:
        app.task(name=kind.task, queue=kind.queue)(_task(kind, wake))
    return app


class Wakeups:
    """Takes jobs for as long as it runs, with a new registration whenever the old one ends."""

    def __init__(
        self,
        connector: Callable[[], QueueConnector],
        kinds: Sequence[WorkKind],
        wake: Wake,
        *,
        concurrency: int,
    ) -> None:
        self._connector = connector
        self._kinds = kinds
        self._wake = wake
        self._concurrency = concurrency
        self._stopping = False
        self._worker: Worker | None = None

    async def run(self) -> None:
        """Take jobs until `stop`, through lost connections and pruned registrations."""
        wait = 0.1
        while self._kinds and not self._stopping:
            started = asyncio.get_running_loop().time()
            try:
                await self._generation(until_empty=False)
            except Exception as error:
                # whatever it was, the answer is to register anew; the work rows lose nothing
                log.warning("the queue's worker ended", error=f"{type(error).__name__}: {error}")
            lasted = asyncio.get_running_loop().time() - started
            wait = 0.1 if lasted > 10 else min(wait * 2, 5.0)
            if not self._stopping:
                await asyncio.sleep(wait)

    async def drain_queue(self) -> None:
        """Take jobs until there is none."""
        if self._kinds:
            await self._generation(until_empty=True)

    def stop(self) -> None:
        """Take no more jobs. Runs go on: they are the kernel's."""
        self._stopping = True
        if self._worker is not None:
            self._worker.stop()  # type: ignore[no-untyped-call]

    async def _generation(self, *, until_empty: bool) -> None:
        app = queue_app(self._connector(), self._kinds, self._wake)
        async with app.open_async():
            self._worker = _WatchfulWorker(
                app=app,
                queues=sorted({kind.queue for kind in self._kinds}),
                concurrency=self._concurrency,
                wait=not until_empty,
                fetch_job_polling_interval=POLLING_SECONDS,
                # a stopped worker leaves its runs to the kernel, which knows the grace period
                shutdown_graceful_timeout=None if until_empty else 0,
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=STALLED_SECONDS / 6,
                stalled_worker_timeout=STALLED_SECONDS,
            )
            if not self._stopping:
                await self._worker.run()  # type: ignore[no-untyped-call]


class _WatchfulWorker(Worker):
    """Ends when its heartbeat or its listener does, so that it is registered anew.

    procrastinate looks after these until the first of its side tasks has ended, and without
    periodic tasks that is this one, at once.
    """

    async def _periodic_deferrer(self) -> None:
        await asyncio.Event().wait()

    async def _process_job(self, context: JobContext) -> None:
        name = context.job.task_name
        if name not in self.app.tasks:
            log.info("work of a capability that is off here stays pending", task=name)
            self.app.task(name=name)(_pass_over)
        await super()._process_job(context)


async def _pass_over(**_: object) -> None:
    pass


def _task(kind: WorkKind, wake: Wake) -> Callable[[list[str]], Awaitable[None]]:
    async def task(ids: list[str]) -> None:
        await wake(kind, [UUID(id_) for id_ in ids])

    return task
