"""Calls to PostgreSQL through a network that breaks in every way it can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.db.pools import CALL_TIMEOUT, SOON, answer, backend, connected, ends_within, succeeds
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until_async
from worker.db.pool import DatabaseUnavailable


@pytest.fixture
def proxy(empty_database: str) -> Iterator[DatabaseProxy]:
    with DatabaseProxy(empty_database) as started:
        yield started


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
