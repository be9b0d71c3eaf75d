"""The least of an HTTP server: a thread a connection, requests one after another."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def head(self) -> Request:
        """The next request without its body; ConnectionError when there is none."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        pairs = (line.partition(":") for line in lines)
        return Request(method, path, query, {n.lower(): v.strip() for n, _, v in pairs})

    def take(self, limit: int) -> int:
        """Drops what came together with the head; returns its length in bytes."""
        taken, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return len(taken)


def serve(answer: Callable[[Connection], None]) -> None:
    """Prints the port; answers until standard input ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, answer: Callable[[Connection], None]) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_converse, args=(sock, answer), daemon=True).start()


def _converse(sock: socket.socket, answer: Callable[[Connection], None]) -> None:
    with sock, contextlib.suppress(ConnectionError, OSError):
        connection = Connection(sock)
        while True:
            answer(connection)
