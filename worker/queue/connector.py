"""procrastinate's way to PostgreSQL, made to outlive the network and the server."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import procrastinate
import psycopg
from procrastinate import exceptions
from procrastinate.connector import BaseConnector, Notify
from procrastinate.sync_psycopg_connector import wrap_exceptions
from psycopg import sql

from worker.db.pool import Connection, Database, DatabaseUnavailable, cut_after
from worker.logging import get_logger

LIVENESS_INTERVAL = 5.0  # seconds between two proofs that the listening connection lives
FIRST_PAUSE = 0.1  # seconds before listening is tried again, doubled up to the longest
LONGEST_PAUSE = 5.0

# A notification of procrastinate's own form, for what was deferred while nobody listened.
LOOK = '{"type": "job_inserted", "job_id": 0}'

log = get_logger(__name__)


class QueueConnector(procrastinate.PsycopgConnector):
    """A connector whose calls end within `call_timeout` seconds, and which never stops listening.

    It names procrastinate's objects with their schema, `procrastinate`, so that it needs no
    search path (their functions need one of their own), and works behind a transaction pooler;
    there it does not listen, and jobs are found by polling. A call that finds no server goes on
    connecting until its time is up, so that a short restart goes by unnoticed. What fails raises
    procrastinate's `ConnectorException`.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int = 4,
        call_timeout: float = 10.0,
        application_name: str = "media-worker queue",
    ) -> None:
        super().__init__()
        self._call_timeout = call_timeout
        self._database = Database(
            conninfo,
            size=size,
            call_timeout=call_timeout,
            lock_timeout=0,
            patience=call_timeout,
            application_name=application_name,
        )

    def get_sync_connector(self) -> BaseConnector:
        return self

    async def open_async(self, pool: object = None) -> None:
        """Make the first connection; `pool` has to be None: the connector brings its own."""
        if pool is not None:
            raise TypeError("QueueConnector makes its own connections: pass no pool")
        with _connector_errors():
            await self._database.open()

    async def close_async(self) -> None:
        await self._database.close()

    async def execute_query_async(self, query: str, **arguments: Any) -> None:
        await self.execute_query_all_async(query, **arguments)

    async def execute_query_one_async(self, query: str, **arguments: Any) -> dict[str, Any]:
        rows = await self.execute_query_all_async(query, **arguments)
        if not rows:
            raise exceptions.NoResult
        return rows[0]

    async def execute_query_all_async(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        with _connector_errors():
            return await self._database.call(_qualified(query), self._wrap_json(arguments))

    async def execute_query_one_async_with_connection(
        self, connection: psycopg.AsyncConnection[Any], query: str, **arguments: Any
    ) -> dict[str, Any]:
        row: dict[str, Any] = await super().execute_query_one_async_with_connection(
            connection, _qualified(query), **arguments
        )
        return row

    async def execute_query_all_async_with_connection(
        self, connection: psycopg.AsyncConnection[Any], query: str, **arguments: Any
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await super().execute_query_all_async_with_connection(
            connection, _qualified(query), **arguments
        )
        return rows

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Pass notifications on until cancelled; connect again for ever, whatever happens."""
        names = list(channels)
        pauses = _Pauses()
        while True:
            try:
                await self._listen(on_notification, names, pauses=pauses)
            except (DatabaseUnavailable, psycopg.Error) as error:
                log.warning("stopped listening for jobs, polling for them", reason=str(error))
            await asyncio.sleep(pauses.next())

    async def _listen(
        self, on_notification: Notify, channels: list[str], *, pauses: _Pauses
    ) -> NoReturn:
        async with self._database.dedicated() as connection:
            if not self._database.pooled:
                await self._register(connection, channels)
                pauses.reset()
                await _pass_on(on_notification, channel=channels[0], payload=LOOK)
                await self._forward(on_notification, connection)
        log.info("behind a connection pooler: jobs are found by polling alone")
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def _register(self, connection: Connection, channels: list[str]) -> None:
        with cut_after(self._call_timeout, connection):
            for channel in channels:
                await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))

    async def _forward(self, on_notification: Notify, connection: Connection) -> NoReturn:
        while True:
            async for notification in connection.notifies(timeout=LIVENESS_INTERVAL):
                await _pass_on(
                    on_notification, channel=notification.channel, payload=notification.payload
                )
            with cut_after(self._call_timeout, connection):
                await connection.execute("select 1")


class _Pauses:
    """Seconds to wait before the next try: longer from one to the next."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause = FIRST_PAUSE

    def next(self) -> float:
        pause = self._pause
        self._pause = min(2 * pause, LONGEST_PAUSE)
        return pause


@functools.cache
def _qualified(query: str) -> str:
    return re.sub(r"(?<![\w.])procrastinate_(?=\w)", "procrastinate.procrastinate_", query)


@contextmanager
def _connector_errors() -> Iterator[None]:
    try:
        with wrap_exceptions():
            yield
    except DatabaseUnavailable as error:
        raise exceptions.ConnectorException(str(error)) from error


async def _pass_on(on_notification: Notify, *, channel: str, payload: str) -> None:
    # Anybody who may connect may notify: what does not read as a job is no reason to stop.
    try:
        await on_notification(channel=channel, payload=payload)
    except (ValueError, LookupError, TypeError):
        log.warning("notification that names no job", channel=channel)
