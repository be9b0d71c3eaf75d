"""A front of the S3 server that goes out of order on command."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

BLOCK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
Mode = Literal["forward", "refuse", "reset", "hang", "slow down", "forbid", "closed"]
REFUSALS = {"slow down": (503, "SlowDown"), "forbid": (403, "AccessDenied")}


@dataclass
class Late:
    """Holds the last byte of a request back until it is released, whoever has gone by then."""

    wanted: Callable[[str, str], bool]
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class StorageFront:
    """Forwards every request on a connection of its own. Threads do the work.

    `delay` is how many seconds each request takes longer.
    """

    def __init__(self, endpoint: str) -> None:
        self.delay = 0.0
        place = urlsplit(endpoint)
        self._target = (place.hostname or "", place.port or 80)
        self._changed = threading.Condition()
        self._mode: Mode = "forward"
        self._open: set[socket.socket] = set()
        self._late: list[Late] = []
        self._journal: list[tuple[str, str, int]] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> StorageFront:
        return self

    def __exit__(self, *_: object) -> None:
        self.be("closed")

    def be(self, mode: Mode) -> None:
        """Go out of order in this way, or back into it (`forward`); open connections end."""
        with self._changed:
            previous, self._mode = self._mode, mode
            for late in self._late:
                if mode == "closed":
                    late.released.set()
            self._changed.notify_all()
            if mode in ("refuse", "closed"):
                self._shut(self._listener)
                self._listener.close()
            elif previous == "refuse":
                self._listener = self._listen(self.port)
            for connection in self._open:
                self._shut(connection, reset=mode == "reset")

    def hold_back(self, method: str, part_of_path: str) -> Late:
        """Hold back the next such request's last byte."""
        late = Late(lambda m, p: m == method and part_of_path in p)
        with self._changed:
            self._late.append(late)
        return late

    def count(self, method: str) -> int:
        """How many such requests have come."""
        return len(self.requests(method))

    def requests(self, method: str) -> list[tuple[str, int]]:
        """Path and length of the body of each such request, in order."""
        with self._changed:
            return [(path, length) for m, path, length in self._journal if m == method]

    def wait_for_requests(self, *, timeout: float = 20.0) -> None:
        """Until the requests that are under way now have ended, whoever sent them."""
        with self._changed:
            under_way = set(self._open)
            assert self._changed.wait_for(lambda: not under_way & self._open, timeout)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with self._changed:
                    self._open.add(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError), client:
                self._exchange(client)
        finally:
            with self._changed:
                self._open.discard(client)
                self._changed.notify_all()

    def _exchange(self, client: socket.socket) -> None:
        head, rest = _read_head(client)
        method, path, length = _understood(head)
        with self._changed:
            self._journal.append((method, path, length))
            mode = self._mode
            late = next((each for each in self._late if each.wanted(method, path)), None)
            if late:
                self._late.remove(late)
        if mode == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        elif mode == "hang":
            with self._changed:
                self._changed.wait_for(lambda: self._mode != "hang")
        elif mode in REFUSALS:
            _discard(client, length - len(rest))
            client.sendall(_refusal(*REFUSALS[mode]))
        elif mode == "forward":
            time.sleep(self.delay)
            self._forward(client, head, rest, length, late)

    def _forward(
        self, client: socket.socket, head: bytes, rest: bytes, length: int, late: Late | None
    ) -> None:
        with socket.create_connection(self._target) as server:
            server.sendall(_closing(head))
            body = rest
            left = length - len(rest)
            while left:
                if body:
                    server.sendall(body)
                body = client.recv(min(BLOCK, left))
                if not body:
                    return
                left -= len(body)
            if late:
                server.sendall(body[:-1])
                late.reached.set()
                late.released.wait()
                body = body[-1:]
            server.sendall(body)
            self._relay_answer(server, client)
            if late:
                late.done.set()

    def _relay_answer(self, server: socket.socket, client: socket.socket) -> None:
        while block := server.recv(BLOCK):
            with contextlib.suppress(OSError):
                client.sendall(block)

    @staticmethod
    def _shut(connection: socket.socket, *, reset: bool = False) -> None:
        with contextlib.suppress(OSError):
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.shutdown(socket.SHUT_RDWR)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        block = client.recv(BLOCK)
        if not block:
            raise ConnectionError
        data += block
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _understood(head: bytes) -> tuple[str, str, int]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return method, urlsplit(target).path, int(fields.get("content-length", 0))


def _closing(head: bytes) -> bytes:
    first, *lines = head.split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def _discard(client: socket.socket, length: int) -> None:
    while length > 0:
        block = client.recv(min(BLOCK, length))
        if not block:
            raise ConnectionError
        length -= len(block)


def _refusal(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>Not now.</Message></Error>".encode()
    head = f"HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
