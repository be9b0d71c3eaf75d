"""Calls to PostgreSQL through a network that breaks in every way it can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest

from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until_async
from worker.db.pool import Database, DatabaseUnavailable

CALL_TIMEOUT = 0.4
SOON = CALL_TIMEOUT + 0.6  # what a call takes at most on a busy machine


@pytest.fixture
def proxy(empty_database: str) -> Iterator[DatabaseProxy]:
    with DatabaseProxy(empty_database) as started:
        yield started


@asynccontextmanager
async def connected(conninfo: str, **options: object) -> AsyncIterator[Database]:
    database = Database(conninfo, **{"call_timeout": CALL_TIMEOUT, **options})  # type: ignore[arg-type]
    try:
        yield database
    finally:
        with ends_within(0.2):
            await database.close()


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def answer(database: Database) -> int:
    rows = await database.call("select %s::int as answer", [42])
    return int(rows[0]["answer"])


async def backend(database: Database) -> int:
    return int((await database.call("select pg_backend_pid() as pid"))[0]["pid"])


async def succeeds(database: Database) -> bool:
    try:
        return await answer(database) == 42
    except DatabaseUnavailable:
        return False


async def test_call_returns_rows_as_dictionaries(empty_database: str) -> None:
    async with connected(empty_database) as database:
        rows = await database.call(
            "select n, %(word)s as word from generate_series(1, 2) n", {"word": "a"}
        )
        assert rows == [{"n": 1, "word": "a"}, {"n": 2, "word": "a"}]


async def test_statement_without_rows_returns_none_and_is_committed(empty_database: str) -> None:
    async with connected(empty_database) as database:
        assert await database.call("create table things (id int)") == []
        assert await database.call("insert into things values (1) returning id") == [{"id": 1}]
    async with connected(empty_database) as other:
        assert await other.call("select id from things") == [{"id": 1}]


async def test_connection_is_used_again(empty_database: str) -> None:
    async with connected(empty_database) as database:
        assert await backend(database) == await backend(database)


async def test_no_more_connections_than_its_size(empty_database: str) -> None:
    async with connected(empty_database, size=2) as database:
        backends = await asyncio.gather(*(backend(database) for _ in range(10)))
    assert len(set(backends)) == 2


async def test_transaction_is_committed_at_the_end_of_the_block(empty_database: str) -> None:
    async with connected(empty_database) as database:
        await database.call("create table things (id int)")
        async with database.transaction() as connection:
            await connection.execute("insert into things values (1)")
            assert await database.call("select id from things") == []
        assert await database.call("select id from things") == [{"id": 1}]


async def test_error_in_the_block_rolls_back_and_passes_as_it_is(empty_database: str) -> None:
    async with connected(empty_database, size=1) as database:
        await database.call("create table things (id int)")
        pid = await backend(database)
        with pytest.raises(LookupError, match="mine"):
            async with database.transaction() as connection:
                await connection.execute("insert into things values (1)")
                raise LookupError("mine")
        assert await database.call("select id from things") == []
        assert await backend(database) == pid


async def test_timeout_of_the_block_itself_passes_as_it_is(empty_database: str) -> None:
    async with connected(empty_database) as database:
        with pytest.raises(TimeoutError):
            async with database.transaction():
                raise TimeoutError


async def test_error_of_a_statement_passes_and_keeps_the_connection(empty_database: str) -> None:
    async with connected(empty_database, size=1) as database:
        pid = await backend(database)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.call("select 1 / 0")
        assert await backend(database) == pid


async def test_slow_statement_ends_at_the_deadline_on_both_sides(empty_database: str) -> None:
    async with connected(empty_database) as database, connected(empty_database) as other:
        await answer(database)
        with ends_within(SOON), pytest.raises(DatabaseUnavailable, match=r"in time|timeout"):
            await database.call("select pg_sleep(20)")
        running = "select 1 from pg_stat_activity where query = %s and state = 'active'"
        await wait_until_async(lambda: _is_empty(other, running, ["select pg_sleep(20)"]))
        assert await answer(database) == 42


async def _is_empty(database: Database, query: str, params: list[str]) -> bool:
    return await database.call(query, params) == []


async def test_lock_is_not_waited_for_long(empty_database: str) -> None:
    async with connected(empty_database, lock_timeout=0.05) as database:
        await database.call("create table things (id int)")
        async with database.transaction() as connection:
            await connection.execute("lock table things")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await database.call("select id from things")


async def test_transaction_that_outlives_the_deadline_is_undone(empty_database: str) -> None:
    async with connected(empty_database, call_timeout=0.2) as database:
        await database.call("create table things (id int)")
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await connection.execute("insert into things values (1)")
                await wait_until_async(lambda: connection.closed or _poke(connection))
        assert await database.call("select id from things") == []


async def _poke(connection: psycopg.AsyncConnection[object]) -> bool:
    await connection.execute("select 1")
    return False


async def test_busy_connections_are_waited_for_until_the_deadline(empty_database: str) -> None:
    async with connected(empty_database, size=1, call_timeout=0.2) as database:
        with ends_within(1.0), pytest.raises(DatabaseUnavailable):
            async with database.transaction():
                with pytest.raises(DatabaseUnavailable, match="busy"):
                    await answer(database)
        assert await answer(database) == 42


async def test_refused_connection_fails_at_once_and_says_why() -> None:
    async with connected("postgresql://127.0.0.1:1/nowhere", call_timeout=5) as database:
        with ends_within(1.0), pytest.raises(DatabaseUnavailable, match="refused"):
            await database.open()


async def test_patience_bridges_a_short_outage(proxy: DatabaseProxy) -> None:
    proxy.cut()
    async with connected(proxy.url, call_timeout=5, patience=5) as database:
        call = asyncio.create_task(answer(database))
        await wait_until_async(lambda: _has_begun(call))
        proxy.forward()
        assert await call == 42


async def _has_begun(task: asyncio.Task[int]) -> bool:
    await asyncio.wait([task], timeout=0.1)
    return not task.done()


async def test_wrong_password_or_database_is_named_without_secrets(empty_database: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo(empty_database, dbname="nowhere", password="hunter2")
    async with connected(conninfo) as database:
        with pytest.raises(DatabaseUnavailable, match="nowhere") as refusal:
            await answer(database)
    assert "hunter2" not in repr(refusal.value)


async def test_call_over_a_frozen_network_ends_at_the_deadline(proxy: DatabaseProxy) -> None:
    async with connected(proxy.url) as database:
        await answer(database)
        proxy.freeze()
        with ends_within(SOON), pytest.raises(DatabaseUnavailable):
            await answer(database)


async def test_connecting_over_a_frozen_network_ends_at_the_deadline(proxy: DatabaseProxy) -> None:
    proxy.freeze()
    async with connected(proxy.url) as database:
        with ends_within(SOON), pytest.raises(DatabaseUnavailable):
            await answer(database)


async def test_transaction_over_a_frozen_network_ends_at_the_deadline(proxy: DatabaseProxy) -> None:
    async with connected(proxy.url) as database:
        with ends_within(SOON), pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                proxy.freeze()
                await connection.execute("select 1")


async def test_cancelling_a_call_over_a_frozen_network_takes_no_time(proxy: DatabaseProxy) -> None:
    async with connected(proxy.url, call_timeout=30) as database:
        await answer(database)
        proxy.freeze()
        call = asyncio.create_task(answer(database))
        assert await _has_begun(call)
        call.cancel()
        with ends_within(0.5), pytest.raises(asyncio.CancelledError):
            await call


async def test_closing_over_a_frozen_network_takes_no_time(proxy: DatabaseProxy) -> None:
    async with connected(proxy.url, call_timeout=30) as database:
        await asyncio.gather(*(answer(database) for _ in range(4)))
        proxy.freeze()
        call = asyncio.create_task(answer(database))
        assert await _has_begun(call)
        with ends_within(0.2):
            await database.close()
        call.cancel()
        await asyncio.wait([call])


@pytest.mark.parametrize("fault", ["freeze", "cut"])
async def test_first_call_after_an_outage_succeeds(proxy: DatabaseProxy, fault: str) -> None:
    async with connected(proxy.url) as database:
        await asyncio.gather(*(answer(database) for _ in range(4)))
        getattr(proxy, fault)()
        assert not await succeeds(database)
        proxy.forward()
        assert await answer(database) == 42


async def test_only_one_call_pays_for_connections_that_went_dead(proxy: DatabaseProxy) -> None:
    async with connected(proxy.url, size=8) as database:
        async with database.transaction(), database.transaction(), database.transaction():
            pass
        proxy.freeze()
        assert not await succeeds(database)
        proxy.forward()
        with ends_within(CALL_TIMEOUT):
            assert [await answer(database) for _ in range(8)] == [42] * 8


async def test_terminated_backends_are_noticed_before_they_are_used(empty_database: str) -> None:
    terminate = "select pg_terminate_backend(pid, 2000) from unnest(%s::int[]) pid"
    async with connected(empty_database) as database, connected(empty_database) as admin:
        for _ in range(3):
            pids = await asyncio.gather(*(backend(database) for _ in range(2)))
            await admin.call(terminate, [pids])
            assert await asyncio.gather(*(answer(database) for _ in range(2))) == [42] * 2


async def test_terminated_in_the_middle_of_a_statement(empty_database: str) -> None:
    async with (
        connected(empty_database, call_timeout=5) as database,
        connected(empty_database) as admin,
    ):
        pid = await backend(database)
        call = asyncio.create_task(database.call("select pg_sleep(20)"))
        running = "select 1 from pg_stat_activity where pid = %s and state = 'active'"
        await wait_until_async(lambda: admin.call(running, [pid]))
        await admin.call("select pg_terminate_backend(%s)", [pid])
        with pytest.raises(DatabaseUnavailable, match="terminating"):
            await call
        assert await answer(database) == 42


async def test_read_only_server_counts_as_unavailable_and_is_left(empty_database: str) -> None:
    async with connected(empty_database, size=1) as database:
        pid = await backend(database)
        await database.call("set default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await database.call("create table things (id int)")
        assert await backend(database) != pid


async def test_direct_connection_is_not_taken_for_a_pooler(empty_database: str) -> None:
    async with connected(empty_database) as database:
        await database.open()
        assert not database.pooled


async def test_calls_after_the_end_say_so(empty_database: str) -> None:
    database = Database(empty_database)
    await database.open()
    await database.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await answer(database)


async def test_connection_in_use_is_closed_when_it_comes_back(empty_database: str) -> None:
    async with connected(empty_database) as database:
        async with database.transaction() as connection:
            await database.close()
            await connection.execute("select 1")
        assert connection.closed


def test_works_on_uvloop_too(proxy: DatabaseProxy) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def frozen() -> None:
        async with connected(proxy.url) as database:
            await answer(database)
            proxy.freeze()
            with ends_within(SOON), pytest.raises(DatabaseUnavailable):
                await answer(database)
            proxy.forward()
            assert await answer(database) == 42

    run: Callable[[object], None] = uvloop.run
    run(frozen())
