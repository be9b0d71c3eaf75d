"""The life of a worker process: start, run, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from inspect import isawaitable
from uuid import UUID

from worker.app import Application
from worker.db.state import schema_state
from worker.errors import Misconfigured
from worker.logging import get_logger
from worker.ops.notify import READY, STOPPING, WATCHDOG, notify, status, watchdog_interval
from worker.queue.store import PASSING

log = get_logger(__name__)
# What stopped runs may take to give their rows back, and the worker to sign off.
RELEASE_SECONDS = 5.0
SIGN_OFF_SECONDS = 2.0
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
            tasks: list[asyncio.Task[None]] = []
            if await self._starts():
                tasks = self._start_loops()
                tasks.append(asyncio.create_task(self._app.wakeups.run(), name="wake-ups"))
                self._say_ready()
                await self._stop.wait()
            await self._shut_down(tasks)
        return 0

    async def run_once(self) -> int:
        """Work until nothing is due and nothing runs; 1 if any work failed for good, else 0."""
        tasks: list[asyncio.Task[None]] = []
        with _signals(self._signalled):
            if await self._starts():
                work = asyncio.create_task(self._work_off(), name="work")
                tasks = [work, asyncio.create_task(self._app.lease.keep(), name="heartbeat")]
                await self._unless_stopped(work)
            await self._shut_down(tasks)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        return 1 if self._app.kernel.tally.failed else 0

    @asynccontextmanager
    async def on_call(self, kind: str) -> AsyncIterator[Callable[[Iterable[UUID]], None]]:
        """A worker for as long as the block runs, that does just the rows the block names.

        To name a row that is under way changes nothing. After a signal, naming raises
        `KeyboardInterrupt`; what still runs when the block ends is stopped as in `run`.
        """
        tasks: list[asyncio.Task[None]] = []
        with _signals(self._signalled):
            try:
                if await self._starts():
                    tasks = self._start_loops()
                yield partial(self._do, kind, {})
            finally:
                await self._shut_down(tasks)

    def _do(
        self, kind: str, under_way: dict[UUID, asyncio.Task[None]], rows: Iterable[UUID]
    ) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        kernel = self._app.kernel
        new = [row for row in rows if row not in under_way]
        size = kernel.kinds[kind].set_size
        for some in (new[start : start + size] for start in range(0, len(new), size)):
            task = asyncio.create_task(kernel.wake(kernel.kinds[kind], some))
            under_way |= dict.fromkeys(some, task)
            task.add_done_callback(partial(_forget, under_way, some))

    async def _starts(self) -> bool:
        """False when a signal came first; raises what makes starting pointless."""
        start = asyncio.create_task(self._start(), name="start")
        await self._unless_stopped(start)
        if start.done():
            start.result()
            return True
        start.cancel()
        await asyncio.wait({start}, timeout=SIGN_OFF_SECONDS)
        return False

    async def _unless_stopped(self, task: asyncio.Task[None]) -> None:
        """Wait for the end of the task or the stop, whichever is first."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    async def _start(self) -> None:
        await _patiently(self._app.database.open, "connecting")
        await _patiently(self._check_schema, "checking the schema")
        await _patiently(self._app.lease.beat, "registering")
        for prepare in self._app.prepare:
            await _patiently(prepare, "preparing")
        if not self._app.kinds:
            log.warning("nothing to do: no capability is configured; see media-worker doctor")

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

    async def _shut_down(self, tasks: list[asyncio.Task[None]]) -> None:
        grace = self._app.settings.shutdown_grace
        notify(STOPPING, status("stopping"))
        log.info("worker stops", running=self._app.kernel.running, grace=grace)
        self._app.wakeups.stop()
        await self._let_runs_end(grace)
        await self._give_back(tasks)
        await self._sign_off()
        await self._app.database.close()
        log.info("worker stopped", **vars(self._app.kernel.tally))

    async def _let_runs_end(self, grace: float) -> None:
        drain = asyncio.create_task(self._app.kernel.drain(grace=grace))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        hurry.cancel()

    async def _give_back(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        released = asyncio.create_task(self._app.kernel.abort(), name="release")
        # waited for, not cancelled: whoever is cancelled only tries to give its row back again
        _, late = await asyncio.wait({*tasks, released}, timeout=RELEASE_SECONDS)
        if late:
            log.error("PostgreSQL did not take everything back: it is free when the lease is over")

    async def _sign_off(self) -> None:
        signed_off = asyncio.create_task(self._app.lease.end(), name="sign off")
        await asyncio.wait({signed_off}, timeout=SIGN_OFF_SECONDS)

    def _signalled(self) -> None:
        if self._hurry.is_set():
            log.warning("stopped at once, on the third signal")
            leave(1)
        if self._stop.is_set():
            log.warning("second signal: what runs is given back now")
            self._hurry.set()
        self._stop.set()


def run(app: Callable[[], Application], *, once: bool = False) -> int:
    """Run a worker in this process and return its exit status; then only `leave` is left to do.

    The loop stays open: to close it is to wait for what waits for a network that is gone.
    """
    loop = _new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(_run(app, once))


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
            log.error("PostgreSQL cannot be used; trying again", step=what, error=str(error))
        feed_watchdog()  # a try that ends, be it in vain, is progress
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


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not available on this platform
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def feed_watchdog() -> None:
    """Tell systemd's watchdog, where there is one, that the process makes progress."""
    if watchdog_interval() is not None:
        notify(WATCHDOG)


def _forget(
    under_way: dict[UUID, asyncio.Task[None]], rows: Iterable[UUID], _: asyncio.Task[None]
) -> None:
    for row in rows:
        del under_way[row]
