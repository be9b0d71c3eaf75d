"""The wire side of the local provider: HTTP/1.1 with exact control over what is sent when."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from worker.demo.behaviour import Behaviour
from worker.demo.cuttable import TICK, CuttableServer
from worker.demo.heads import Head, head_for

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Entry(Protocol):
    """A journal entry, which follows the answer while it goes out."""

    method: str
    headers: dict[str, str]
    status: int | None
    sent: int
    finished: bool


Receive = Callable[[str, str, dict[str, str], bytes], tuple[Any, Behaviour]]


class ProviderServer(CuttableServer):
    """Hands each request to `receive`."""

    def __init__(self, receive: Receive) -> None:
        super().__init__(_Handler, name="provider")
        self.receive = receive

    @property
    def port(self) -> int:
        return self.server_port


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length)
        entry, behaviour = self.server.receive(self.command, self.path, headers, body)
        _Transfer(self, entry, behaviour).run()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the journal tells what came."""


class _Transfer:
    """One answer on its way out."""

    def __init__(self, handler: _Handler, entry: Entry, behaviour: Behaviour) -> None:
        self._handler = handler
        self._entry = entry
        self._behaviour = behaviour
        self._head = head_for(behaviour, entry.headers)

    def run(self) -> None:
        self._wait(seconds=float("inf") if self._behaviour.hang else self._behaviour.delay)
        self._send_head(self._head)
        if self._entry.method != "HEAD":
            self._send_body(self._head.start, self._head.stop)
        self._entry.finished = True

    def _send_head(self, head: Head) -> None:
        self._entry.status = head.status
        self._handler.send_response(head.status)
        for name, value in head.headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def _send_body(self, start: int, stop: int | None) -> None:
        start = self._pass_gate(start, stop)
        cut = self._behaviour.cut_after
        if cut is not None:
            self._send_bytes(start, min(self._head.start + cut, stop or sys.maxsize))
            self._cut()
        self._send_bytes(start, stop)
        if self._behaviour.framing == "chunked":
            self._handler.wfile.write(b"0\r\n\r\n")

    def _pass_gate(self, start: int, stop: int | None) -> int:
        gate = self._behaviour.gate
        if gate is None or gate.at < start or (stop is not None and gate.at > stop):
            return start
        self._send_bytes(start, gate.at)
        gate.reached.set()
        self._wait(until=gate.released.is_set)
        return gate.at

    def _send_bytes(self, start: int, stop: int | None) -> None:
        chunked = self._behaviour.framing == "chunked"
        for block in self._head.payload.blocks(start, stop):
            for piece in self._paced(block):
                framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
                self._handler.wfile.write(framed)
                self._entry.sent += len(piece)

    def _paced(self, block: bytes) -> Iterator[bytes]:
        rate = self._behaviour.bytes_per_second
        if rate is None:
            yield block
            return
        step = max(1, int(rate * TICK))
        for position in range(0, len(block), step):
            piece = block[position : position + step]
            yield piece
            self._wait(seconds=len(piece) / rate)

    def _cut(self) -> None:
        connection = self._handler.connection
        if self._behaviour.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            connection.close()
        raise ConnectionAbortedError("cut, as scripted")

    def _wait(
        self, *, until: Callable[[], bool] = lambda: False, seconds: float = float("inf")
    ) -> None:
        deadline = time.monotonic() + seconds
        while not until() and (left := deadline - time.monotonic()) > 0:
            self._look_for_end(min(TICK, left))

    def _look_for_end(self, seconds: float) -> None:
        connection = self._handler.connection
        readable, _, _ = select.select([connection], [], [], seconds)
        if not readable:
            return
        if not connection.recv(1, socket.MSG_PEEK):
            raise ConnectionAbortedError("the client left")
        time.sleep(seconds)  # it has asked for more already, which says nothing now
