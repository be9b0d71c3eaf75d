"""The life of a worker process: start, run, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import isawaitable

from worker.app import Application
from worker.db.pool import DatabaseUnavailable
from worker.db.state import schema_state
from worker.errors import Misconfigured
from worker.logging import get_logger
from worker.ops.notify import READY, STOPPING, WATCHDOG, notify, status, watchdog_interval
from worker.queue.store import PASSING

log = get_logger(__name__)
# What a stopped run may take to give its rows back.
RELEASE_SECONDS = 10.0
RECONNECT_SECONDS = (0.2, 5.0)


class Daemon:
    """Runs an application until a signal, through every absence of the database.

    The first SIGTERM or SIGINT stops it in order: no new work, the grace period for what runs,
    then what still runs gives its rows back. A second one skips the grace, a third everything.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> int:
        """Run until told to stop; returns the exit status."""
        with _signals(self._signalled):
            await self._start()
            loops = self._start_loops()
            wakeups = asyncio.create_task(self._app.wakeups.run(), name="wake-ups")
            self._say_ready()
            await self._stop.wait()
            await self._shut_down(loops, wakeups)
        return 0

    async def run_once(self) -> int:
        """Work until nothing is due and nothing runs; 1 if any work failed for good, else 0."""
        with _signals(self._signalled):
            await self._start()
            beat = asyncio.create_task(self._app.lease.keep(), name="heartbeat")
            work = asyncio.create_task(self._work_off(), name="work")
            stop = asyncio.create_task(self._stop.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            await self._shut_down([beat], work)
        if work.done() and not work.cancelled():
            work.result()
        return 1 if self._app.kernel.tally.failed else 0

    async def _start(self) -> None:
        await self._connect()
        await self._check_schema()
        await _patiently(self._app.lease.beat, "registering")
        for prepare in self._app.prepare:
            await _patiently(prepare, "preparing")
        if not self._app.kinds:
            log.warning("nothing to do: no capability is configured; see media-worker doctor")

    async def _connect(self) -> None:
        wait, longest = RECONNECT_SECONDS
        while not self._stop.is_set():
            try:
                await self._app.database.open()
                return
            except DatabaseUnavailable as error:
                log.error("no connection to PostgreSQL; trying again", error=str(error))
            notify(WATCHDOG)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stop.wait()
            wait = min(wait * 2, longest)

    async def _check_schema(self) -> None:
        async with self._app.database.transaction() as connection:
            state = await schema_state(connection)
        if state in ("missing", "old"):
            raise Misconfigured(f"the database's schema is {state}: run media-worker migrate")
        if state == "newer":
            log.warning("the database's schema is newer than this worker: upgrade the worker")

    def _start_loops(self) -> list[asyncio.Task[None]]:
        loops = [asyncio.create_task(self._app.lease.keep(), name="heartbeat")]
        loops += [
            asyncio.create_task(duty.run_for_ever(), name=f"duty {duty.name}")
            for duty in self._app.duties
        ]
        return loops

    def _say_ready(self) -> None:
        kinds = ", ".join(kind.name for kind in self._app.kinds) or "nothing"
        notify(READY, status(f"working on: {kinds}"))
        log.info(
            "worker started",
            worker_id=str(self._app.store.worker_id),
            kinds=kinds,
            concurrency=self._app.kernel.concurrency,
            polling_only=self._app.database.pooled,
        )

    async def _work_off(self) -> None:
        app, kinds = self._app, [kind.name for kind in self._app.kinds]
        due = [duty for duty in app.duties if duty.in_one_go]
        while True:
            brought_in = sum([await duty.run_once() for duty in due])
            await app.wakeups.drain_queue()
            waiting = await app.store.runnable(kinds) if kinds else 0
            if not (brought_in or waiting or app.kernel.running):
                return
            if waiting and not brought_in:
                await asyncio.sleep(0.2)  # somebody's open transaction holds them

    async def _shut_down(self, loops: list[asyncio.Task[None]], work: asyncio.Task[None]) -> None:
        grace = self._app.settings.shutdown_grace
        notify(STOPPING, status("stopping"))
        log.info("worker stops", running=self._app.kernel.running, grace=grace)
        self._app.wakeups.stop()
        await self._drain(grace)
        for task in (*loops, work):
            task.cancel()
        await asyncio.wait({*loops, work}, timeout=RELEASE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._app.lease.end()
        await self._app.database.close()
        log.info("worker stopped", **vars(self._app.kernel.tally))

    async def _drain(self, grace: float) -> None:
        drain = asyncio.create_task(self._app.kernel.drain(grace=grace))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait(
            {drain, hurry}, timeout=grace + RELEASE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        if not drain.done():
            drain.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._app.kernel.abort()

    def _signalled(self) -> None:
        if self._hurry.is_set():
            log.warning("stopped at once, on the third signal")
            leave(1)
        if self._stop.is_set():
            log.warning("second signal: what runs is given back now")
            self._hurry.set()
        self._stop.set()


def run(app: Callable[[], Application], *, once: bool = False) -> int:
    """Run a worker in this process and return its exit status."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(app, once))


def leave(code: int) -> None:
    """End the process now: a thread that still waits for the network must not delay it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _run(app: Callable[[], Application], once: bool) -> int:
    daemon = Daemon(app())
    return await (daemon.run_once() if once else daemon.run())


async def _patiently(step: Callable[[], object], what: str) -> None:
    wait, longest = RECONNECT_SECONDS
    while True:
        try:
            result = step()
            if isawaitable(result):
                await result
            return
        except PASSING as error:
            log.error("the database does not answer; trying again", step=what, error=str(error))
        await asyncio.sleep(wait)
        wait = min(wait * 2, longest)


class _signals:
    """SIGTERM and SIGINT call `handle` for as long as the block runs."""

    def __init__(self, handle: Callable[[], None]) -> None:
        self._handle = handle

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._handle)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not available on this platform
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def feed_watchdog() -> None:
    """Tell systemd's watchdog, where there is one, that the process makes progress."""
    if watchdog_interval() is not None:
        notify(WATCHDOG)
