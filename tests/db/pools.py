"""Connections to a database for the tests of the pool."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from worker.db.pool import Database, DatabaseUnavailable

CALL_TIMEOUT = 0.4
SOON = CALL_TIMEOUT + 0.6  # what a call takes at most on a busy machine


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
