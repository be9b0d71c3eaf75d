"""The wire side: HTTP/1.1 on loopback, connections that can be cut, waits that end with it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from worker.demo.cloudinary.faults import Fault
from worker.demo.cloudinary.wire import Reply, Request
from worker.demo.cuttable import TICK, CuttableServer

Answer = Callable[[Request], Reply]


class Pauses:
    """Waits as faults say; all of it ends when the server stops."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def __call__(self, fault: Fault) -> None:
        """Raises ConnectionAbortedError where the client must not get an answer."""
        if fault.hold:
            fault.hold.reached.set()
            while not fault.hold.released.wait(TICK):
                self._go_on()
        if fault.delay:
            self.stopping.wait(None if fault.delay == math.inf else fault.delay)
        self._go_on()
        if fault.cut:
            raise ConnectionAbortedError("cut, as planned")

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise ConnectionAbortedError("the server stops")


class Server(CuttableServer):
    """Hands each request to `answer`, with the time by the clock."""

    def __init__(self, answer: Answer, clock: Callable[[], float], port: int = 0) -> None:
        super().__init__(_Handler, name="cloudinary", port=port)
        self.answer = answer
        self.clock = clock


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: Server

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        at = self.server.clock()
        self._send(self.server.answer(Request(self.command, path, query, headers, body, at)))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Silent: the record of calls tells what came."""

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()
