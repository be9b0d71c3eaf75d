"""Connections to storages that are kept for the next request."""

from __future__ import annotations

import ssl
import time
import weakref
from collections import defaultdict, deque
from threading import Lock

from worker.storage.connection import Address, Connection

MOST_KEPT = 32
IDLE_SECONDS = 15.0

Kept = deque[tuple[float, Connection]]


class Connections:
    """Keeps up to MOST_KEPT idle connections to each address. For any number of threads.

    Those that were idle for IDLE_SECONDS are closed with the next use of any, and all of them
    with the object itself. `timeout` is that of the connections.
    """

    def __init__(self, *, timeout: float, tls: ssl.SSLContext) -> None:
        self._timeout = timeout
        self._tls = tls
        self._lock = Lock()
        self._kept: dict[Address, Kept] = defaultdict(deque)
        self._close_kept = weakref.finalize(self, _close_all, self._kept)

    def kept(self, address: Address) -> Connection | None:
        """The connection that was used last, if there is one that the other side left open."""
        while True:
            with self._lock:
                waiting = self._kept[address]
                connection = waiting.pop()[1] if waiting else None
            if connection is None or connection.is_quiet():
                return connection
            connection.close()

    def new(self, address: Address) -> Connection:
        """A new connection, in place of one that is kept, if any. Raises `Broken`."""
        with self._lock:
            waiting = self._kept[address]
            replaced = [waiting.popleft()[1]] if waiting else []
        for connection in replaced:
            connection.close()
        return Connection(address, timeout=self._timeout, tls=self._tls)

    def keep(self, connection: Connection) -> None:
        """Take a connection back after its answer was read."""
        ended = [] if connection.reusable else [connection]
        with self._lock:
            if connection.reusable:
                self._kept[connection.address].append((time.monotonic(), connection))
            ended += self._surplus()
        for connection in ended:
            connection.close()

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            _close_all(self._kept)

    def _surplus(self) -> list[Connection]:
        old, surplus = time.monotonic() - IDLE_SECONDS, []
        for waiting in self._kept.values():
            while waiting and (len(waiting) > MOST_KEPT or waiting[0][0] < old):
                surplus.append(waiting.popleft()[1])
        return surplus


def _close_all(kept: dict[Address, Kept]) -> None:
    for waiting in kept.values():
        while waiting:
            waiting.pop()[1].close()
