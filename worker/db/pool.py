"""The worker's own connections to PostgreSQL: every call ends, whatever the network does.

A connection is opened by the call that needs it, so that the call itself learns why that fails,
and the first call after an outage succeeds. One that has been cut off, closed or overtaken by
its deadline is thrown away without a word over the network, together with the idle ones: what
befell it has most likely befallen them too.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

Row = dict[str, Any]
Params = Sequence[Any] | Mapping[str, Any]

# What a URL may set otherwise. `options` is not among them: transaction poolers refuse it.
CONNECTION_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# What the kernel's statements are written for, whatever a database or role prefers.
DEFAULTS = {
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
}
MAX_AGE = 30 * 60.0
CONNECT_AGAIN_AFTER = 0.2

# The settings are left alone behind a pooler, where they would stay with somebody else's session.
GREET = """
    select server.direct, case when server.direct then set_config(name, value, false) end
    from (select pg_backend_pid() = %(pid)s as direct) as server,
         unnest(%(names)s::text[], %(values)s::text[]) as setting (name, value)
"""
LIMIT_TRANSACTION = """
    select set_config(name, value, true)
    from unnest(%(names)s::text[], %(values)s::text[]) as setting (name, value)
"""


class DatabaseUnavailable(Exception):
    """PostgreSQL cannot be used for now; whether the statement took effect is not known."""


class Connection(psycopg.AsyncConnection[Row]):
    """A connection with rows as dictionaries that never asks a second one for help."""

    expires_at: float = 0.0

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:  # noqa: ARG002, ASYNC109
        """Cut instead: to ask the server to cancel needs the network that may be the trouble."""
        cut(self)


class Database:
    """Up to `size` connections, and short calls on them.

    No call takes longer than `call_timeout` seconds, the wait for a connection included; the
    server is told the same, so that it does not work on for nobody. No statement waits for a lock
    longer than `lock_timeout` seconds (`psycopg.errors.LockNotAvailable`; 0: without limit). Where
    no connection can be made, the call fails at once, or goes on trying for `patience` seconds.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int = 8,
        call_timeout: float = 10.0,
        lock_timeout: float = 0.3,
        patience: float = 0.0,
        application_name: str = "media-worker",
    ) -> None:
        name = {"application_name": application_name}
        self._parameters = CONNECTION_DEFAULTS | name | conninfo_to_dict(conninfo)
        self._call_timeout = call_timeout
        self._patience = patience
        self._limits = _limits(call_timeout, lock_timeout)
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._closed = False
        self._pooled = False

    @property
    def pooled(self) -> bool:
        """The last connection ended at a pooler such as PgBouncer: no session state, no LISTEN."""
        return self._pooled

    async def open(self) -> None:
        """Make the first connection; raise `DatabaseUnavailable` where that fails.

        Calls work without it; it finds out early what is wrong, and whether there is a pooler.
        """
        async with self._lease():
            pass

    async def close(self) -> None:
        """Close what is idle now and what is in use once it comes back. Waits for nothing."""
        self._closed = True
        self._discard_idle()

    async def call(self, query: str, params: Params | None = None) -> list[Row]:
        """Execute one statement, which commits by itself, and return its rows."""
        async with self._lease() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A short transaction: the whole block has to end within the time of one call."""
        async with self._lease() as connection, connection.transaction():
            if self._pooled:
                await connection.execute(LIMIT_TRANSACTION, self._limits)
            yield connection

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """A connection beside the pool for as long as the block takes, for LISTEN.

        Nothing in the block has a deadline but what stands in a `cut_after`.
        """
        connection = await self._connect_within(self._deadline())
        try:
            with _translated():
                yield connection
        finally:
            _drop(connection)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Connection]:
        deadline = self._deadline()
        await self._take_slot(deadline)
        try:
            connection = self._take_idle() or await self._connect_within(deadline)
            try:
                with _translated(), _cut_at(deadline, connection):
                    yield connection
            except DatabaseUnavailable:
                self._discard_idle()
                _drop(connection)
                raise
            finally:
                self._give_back(connection)
        finally:
            self._slots.release()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._call_timeout

    async def _take_slot(self, deadline: float) -> None:
        if self._closed:
            raise DatabaseUnavailable("the connections to PostgreSQL are closed: shutting down")
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("all connections to PostgreSQL are busy") from None

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if _is_silent(connection):
                return connection
            _drop(connection)
        return None

    async def _connect_within(self, deadline: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connect_patiently()
        except TimeoutError:
            raise DatabaseUnavailable("no connection to PostgreSQL in time") from None

    async def _connect_patiently(self) -> Connection:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience
        while True:
            try:
                with _translated():
                    return await self._connect()
            except DatabaseUnavailable:
                if loop.time() + CONNECT_AGAIN_AFTER >= give_up_at:
                    raise
            await asyncio.sleep(CONNECT_AGAIN_AFTER)

    async def _connect(self) -> Connection:
        connection = await Connection.connect(
            **self._parameters, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
        try:
            limits = self._limits | {"pid": connection.info.backend_pid}
            greeting = await connection.execute(GREET, limits)
            self._pooled = not (await greeting.fetchall())[0]["direct"]
        except BaseException:
            _drop(connection)
            raise
        connection.expires_at = asyncio.get_running_loop().time() + MAX_AGE
        return connection

    def _give_back(self, connection: Connection) -> None:
        expired = connection.expires_at <= asyncio.get_running_loop().time()
        unfinished = connection.pgconn.transaction_status != TransactionStatus.IDLE
        if expired or unfinished or self._closed:
            _drop(connection)
        else:
            self._idle.append(connection)

    def _discard_idle(self) -> None:
        while self._idle:
            _drop(self._idle.pop())


@contextmanager
def cut_after(seconds: float, connection: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """Raise `DatabaseUnavailable` from what waits on the connection when the time is up."""
    with _cut_at(asyncio.get_running_loop().time() + seconds, connection):
        yield


def cut(connection: psycopg.AsyncConnection[Any]) -> None:
    """End a connection on this side only: what waits on it fails at once, nothing is sent."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as twin, suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


@contextmanager
def _cut_at(deadline: float, connection: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    timer = loop.call_at(deadline, cut, connection)
    try:
        yield
    except psycopg.OperationalError as error:
        if loop.time() < deadline or not connection.closed:
            raise
        raise DatabaseUnavailable("PostgreSQL did not answer in time") from error
    finally:
        timer.cancel()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if not _means_unavailable(error):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DatabaseUnavailable(f"PostgreSQL cannot be used: {reason}") from error


def _means_unavailable(error: psycopg.Error) -> bool:
    # Connection, resources, operator's intervention, system; a standby after a failover.
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate[:2] in {"08", "53", "57", "58"} or error.sqlstate in {"25006", "25P03"}


def _drop(connection: Connection) -> None:
    # At once and without waiting: the goodbye is sent only if the socket takes it.
    connection.pgconn.finish()


def _is_silent(connection: Connection) -> bool:
    # An idle connection that has something to say has ended, or is about to.
    if connection.closed:
        return False
    poller = select.poll()
    poller.register(connection.pgconn.socket, select.POLLIN)
    return not poller.poll(0)


def _limits(call_timeout: float, lock_timeout: float) -> dict[str, list[str]]:
    limits = {
        "statement_timeout": call_timeout,
        "idle_in_transaction_session_timeout": call_timeout,
        "lock_timeout": lock_timeout,
    }
    values = [str(round(seconds * 1000)) for seconds in limits.values()]
    return {"names": [*limits, *DEFAULTS], "values": [*values, *DEFAULTS.values()]}
