"""Whether a connection has a server process of its own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from worker.db.plan import MigrationFailed

COMPANIONS = 4  # connections made beside the first one, one after the other
PATIENCE = 5.0  # seconds that a pooler gets to find a server for one of them


def shares_servers(connection: Connection[Any], connect: Callable[[], Connection[Any]]) -> bool:
    """Whether other sessions take turns in our server process: a pooler in transaction mode.

    A direct connection and a pooler in session mode give a connection one process, and nobody
    else that one, for as long as it lasts; then our lock and settings are ours. `connect` makes
    another connection like `connection`, in autocommit mode.
    """
    first = _server_process(connection)
    if first == connection.info.backend_pid:
        return False  # a pooler hands out numbers of its own
    try:
        return any(_is_caught(connection, first, connect) for _ in range(COMPANIONS))
    except (MigrationFailed, psycopg.OperationalError):
        return False  # there is no process for a second session: ours is not given away


def _is_caught(
    connection: Connection[Any], first: int, connect: Callable[[], Connection[Any]]
) -> bool:
    with connect() as companion, _cut_after(PATIENCE, companion):
        # A pool that gives away the process used last is caught at the first look, one that
        # takes turns when the same connection looks twice.
        others = {_server_process(companion), _server_process(companion)}
        if len(others) > 1 or first in others:
            return True
        with companion.transaction():
            others.add(_server_process(companion))
            mine = {_server_process(connection), _server_process(connection)}
    return mine != {first} or len(others) > 1


def _server_process(connection: Connection[Any]) -> int:
    row = connection.execute("select pg_catalog.pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _cut_after(seconds: float, connection: Connection[Any]) -> Iterator[None]:
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        timer = threading.Timer(seconds, twin.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
