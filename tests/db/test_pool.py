"""Calls to PostgreSQL: rows, transactions, deadlines, and what their errors say."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tests.db.pools import SOON, answer, backend, connected, ends_within
from tests.support.wait import wait_until_async
from worker.db.pool import Database, DatabaseUnavailable


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


async def test_wrong_password_or_database_is_named_without_secrets(empty_database: str) -> None:
    conninfo = psycopg.conninfo.make_conninfo(empty_database, dbname="nowhere", password="hunter2")
    async with connected(conninfo) as database:
        with pytest.raises(DatabaseUnavailable, match="nowhere") as refusal:
            await answer(database)
    assert "hunter2" not in repr(refusal.value)


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
