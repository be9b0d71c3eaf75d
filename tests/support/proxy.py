"""A TCP proxy in front of PostgreSQL that can freeze and cut, for faults of the network."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from enum import Enum

from psycopg.conninfo import conninfo_to_dict

from tests.support.databases import changed_url

BLOCK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Mode(Enum):
    FORWARD = "forward"  # bytes go both ways
    FREEZE = "freeze"  # connections are accepted and bytes taken, but nothing gets through
    CUT = "cut"  # what is open was reset, and so is every new connection
    CLOSED = "closed"


class DatabaseProxy:
    """Stands in for the server of `url`, over TCP, while the context is open.

    Threads do the work, so that it serves synchronous and asynchronous tests alike. Bytes that
    were held by `freeze` arrive after `forward`, as after a stall of the network.
    """

    def __init__(self, url: str) -> None:
        self._target = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._mode = Mode.FORWARD
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port = int(self._listener.getsockname()[1])
        self.url = changed_url(url, host="127.0.0.1", port=self.port)

    def __enter__(self) -> DatabaseProxy:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._switch(Mode.CLOSED)
        self._shut(self._listener)
        self.drop_connections()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        with self._changed:
            return len(self._open) // 2

    def forward(self) -> None:
        """Let everything through (again)."""
        self._switch(Mode.FORWARD)

    def freeze(self) -> None:
        """Let nothing through, and say nothing about it."""
        self._switch(Mode.FREEZE)

    def cut(self) -> None:
        """Reset all connections, and every new one until `forward`."""
        self._switch(Mode.CUT)
        self.drop_connections()

    def drop_connections(self) -> None:
        """Reset what is open now; new connections are welcome."""
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self._shut(connection)

    def _switch(self, mode: Mode) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self._mode in (Mode.FORWARD, Mode.FREEZE):
                    self._join(client)
                    continue
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()

    def _join(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        self._open |= {client, server}
        self._run(self._relay, client, server)

    def _connect(self) -> socket.socket:
        host, port = str(self._target.get("host", "")), int(self._target.get("port") or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host or "127.0.0.1", port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._changed:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                self._wait_while_frozen()
                sink.sendall(block)
        self._wait_while_frozen()
        self._shut(source)
        self._shut(sink)

    def _wait_while_frozen(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._mode is not Mode.FREEZE)

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    @staticmethod
    def _shut(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
