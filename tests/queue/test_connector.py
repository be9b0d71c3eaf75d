"""procrastinate's real app and worker over the connector, through faults of server and network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import procrastinate
import psycopg
import pytest
from procrastinate import exceptions

from tests.support.pgbouncer import pgbouncer, pgbouncer_is_there
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until_async
from worker.queue.connector import QueueConnector

CALL_TIMEOUT = 0.4
SOON = CALL_TIMEOUT + 0.6
NEVER = 3600.0  # polls so seldom that only a notification can be the reason

DEFER = """
    select procrastinate.procrastinate_defer_jobs_v1(array[
        row('test', 'note', 0, null, null, jsonb_build_object('n', %s::int), null)
    ]::procrastinate.procrastinate_job_to_defer_v1[])
"""


class Site:
    """An app whose one task notes what it was called with, and a way to defer it from outside."""

    def __init__(self, conninfo: str, outside: str, *, call_timeout: float) -> None:
        self.connector = QueueConnector(conninfo, call_timeout=call_timeout)
        self.app = procrastinate.App(connector=self.connector)
        self.noted: dict[int, float] = {}
        self.app.task(name="note", queue="test")(self._note)
        self._outside = outside

    async def _note(self, n: int) -> None:
        self.noted[n] = time.monotonic()

    async def defer(self, n: int) -> float:
        """Defer a job with plain SQL, and return when it was committed."""
        async with await psycopg.AsyncConnection.connect(
            self._outside, autocommit=True
        ) as connection:
            await connection.execute(DEFER, [n])
            return time.monotonic()

    async def runs(self, n: int, *, timeout: float = 10.0) -> float:  # noqa: ASYNC109
        """Wait until the job has run; its time."""
        await wait_until_async(lambda: n in self.noted, timeout=timeout, message=f"job {n}")
        return self.noted[n]

    @asynccontextmanager
    async def working(self, *, polling: float = NEVER) -> AsyncIterator[asyncio.Task[None]]:
        """The real worker in the background."""
        work = asyncio.create_task(
            self.app.run_worker_async(
                queues=["test"],
                concurrency=4,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=polling,
            )
        )
        try:
            yield work
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError, exceptions.ConnectorException):
                await work


@asynccontextmanager
async def site(
    conninfo: str, *, outside: str | None = None, call_timeout: float = 5.0
) -> AsyncIterator[Site]:
    opened = Site(conninfo, outside or conninfo, call_timeout=call_timeout)
    async with opened.app.open_async():
        yield opened


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.fixture
def proxy(queue_database: str) -> Iterator[DatabaseProxy]:
    with DatabaseProxy(queue_database) as started:
        yield started


def terminate_all(conninfo: str) -> int:
    """Terminate every other session of the database and wait for their end."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        done = connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        return len(done.fetchall())


def listeners(conninfo: str) -> int:
    """How many sessions listen, by the last statement of each."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and state = 'idle' and (query like 'listen%' or query = 'select 1')"
        ).fetchone()
        assert found is not None
        return int(found[0])


async def test_job_deferred_with_sql_is_picked_up_by_notification(queue_database: str) -> None:
    async with site(queue_database) as here, here.working():
        await wait_until_async(lambda: listeners(queue_database))
        latencies = []
        for n in range(5):
            committed = await here.defer(n)
            latencies.append(await here.runs(n) - committed)
        assert min(latencies) < 0.1


async def test_job_deferred_before_the_listener_was_there_is_not_forgotten(
    queue_database: str,
) -> None:
    async with site(queue_database) as here:
        await here.defer(1)
        async with here.working():
            await here.runs(1)


async def test_job_deferred_through_the_app_runs(queue_database: str) -> None:
    async with site(queue_database) as here, here.working():
        await here.app.configure_task("note", queue="test").defer_async(n=7)
        await here.runs(7)


async def test_second_job_of_the_same_queueing_lock_is_refused(queue_database: str) -> None:
    async with site(queue_database) as here:
        deferrer = here.app.configure_task("note", queueing_lock="one")
        await deferrer.defer_async(n=1)
        with pytest.raises(exceptions.AlreadyEnqueued):
            await deferrer.defer_async(n=2)


async def test_needs_no_search_path(queue_database: str) -> None:
    async with site(queue_database) as here:
        assert await here.app.check_connection_async()
        job_id = await here.app.configure_task("note", queue="test").defer_async(n=1)
        jobs = list(await here.app.job_manager.list_jobs_async())
        assert [job.id for job in jobs] == [job_id]
        assert [queue["name"] for queue in await here.app.job_manager.list_queues_async()] == [
            "test"
        ]


async def test_job_is_deferred_in_the_transaction_of_a_given_connection(
    queue_database: str,
) -> None:
    async with site(queue_database) as here:
        async with await psycopg.AsyncConnection.connect(queue_database) as connection:
            deferrer = here.app.configure_task("note", queue="test", connection=connection)
            await deferrer.defer_async(n=1)
            await connection.rollback()
        assert list(await here.app.job_manager.list_jobs_async()) == []


async def test_jobs_run_after_all_connections_were_terminated(queue_database: str) -> None:
    async with site(queue_database) as here:
        for n in range(3):
            async with here.working():  # it ends if it was in the middle of a call
                await wait_until_async(lambda: listeners(queue_database))
                assert terminate_all(queue_database) >= 2
            await here.defer(n)
            async with here.working():
                await here.runs(n)


async def test_jobs_run_again_after_the_network_stalled(
    proxy: DatabaseProxy, queue_database: str
) -> None:
    async with site(proxy.url, outside=queue_database, call_timeout=CALL_TIMEOUT) as here:
        async with here.working() as work:
            await wait_until_async(lambda: listeners(queue_database))
            proxy.freeze()
            await here.defer(1)
            with pytest.raises(exceptions.ConnectorException):
                await here.app.job_manager.list_queues_async()
            proxy.forward()
            await here.defer(2)
            await wait_until_async(lambda: work.done() or 2 in here.noted)
        async with here.working():
            await here.defer(3)
            await here.runs(3)


async def test_short_outage_goes_by_unnoticed(proxy: DatabaseProxy, queue_database: str) -> None:
    async with site(proxy.url, outside=queue_database) as here, here.working(polling=0.1) as work:
        await wait_until_async(lambda: listeners(queue_database))
        proxy.cut()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(work), 0.5)
        proxy.forward()
        await here.defer(1)
        await here.runs(1)
        assert not work.done()


async def test_call_over_a_frozen_network_ends_at_the_deadline(proxy: DatabaseProxy) -> None:
    async with site(proxy.url, call_timeout=CALL_TIMEOUT) as here:
        proxy.freeze()
        with ends_within(SOON), pytest.raises(exceptions.ConnectorException):
            await here.app.job_manager.list_jobs_async()
        with ends_within(0.2):
            await here.app.close_async()


async def test_opening_without_a_server_says_why() -> None:
    app = procrastinate.App(
        connector=QueueConnector("postgresql://127.0.0.1:1/nowhere", call_timeout=0.1)
    )
    with pytest.raises(exceptions.ConnectorException, match="refused"):
        await app.connector.open_async()


class Listening:
    """A listener beside any worker, and what it heard."""

    def __init__(self, connector: QueueConnector) -> None:
        self.heard: list[str] = []
        self.task = asyncio.create_task(connector.listen_notify(self._hear, ["news"]))

    async def _hear(self, *, channel: str, payload: str) -> None:
        self.heard.append(payload)
        if payload == "garbage":
            raise ValueError(payload)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def listening(connector: QueueConnector) -> AsyncIterator[Listening]:
    listener = Listening(connector)
    try:
        yield listener
    finally:
        await listener.stop()


def notify(conninfo: str, payload: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("select pg_notify('news', %s)", [payload])


async def test_listener_hears_again_after_a_stall(
    proxy: DatabaseProxy, queue_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.queue.connector.LIVENESS_INTERVAL", 0.1)
    connector = QueueConnector(proxy.url, call_timeout=CALL_TIMEOUT)
    async with listening(connector) as listener:
        await wait_until_async(lambda: len(listener.heard) == 1)
        proxy.freeze()
        await wait_until_async(lambda: proxy.connections > 1, message="the next try to connect")
        proxy.forward()
        await wait_until_async(lambda: len(listener.heard) > 1, message="the look after a gap")
        notify(queue_database, "news")
        await wait_until_async(lambda: "news" in listener.heard)
        assert not listener.task.done()


async def test_listener_survives_what_is_no_job(queue_database: str) -> None:
    connector = QueueConnector(queue_database)
    async with listening(connector) as listener:
        await wait_until_async(lambda: len(listener.heard) == 1)
        for payload in ("garbage", "news"):
            notify(queue_database, payload)
        await wait_until_async(lambda: listener.heard[1:] == ["garbage", "news"])


async def test_listener_stops_at_once_when_cancelled_on_a_frozen_network(
    proxy: DatabaseProxy,
) -> None:
    connector = QueueConnector(proxy.url)
    async with listening(connector) as listener:
        await wait_until_async(lambda: len(listener.heard) == 1)
        proxy.freeze()
        with ends_within(0.3):
            await listener.stop()
        assert listener.task.cancelled()


@pytest.mark.skipif(not pgbouncer_is_there(), reason="PgBouncer is not installed")
async def test_behind_a_transaction_pooler_jobs_are_found_by_polling(
    queue_database: str, tmp_path: Path
) -> None:
    with pgbouncer(queue_database, tmp_path) as url:
        async with site(url, outside=queue_database) as here, here.working(polling=0.1):
            await here.defer(1)
            await here.runs(1)
            assert here.connector._database.pooled
            assert listeners(queue_database) == 0
