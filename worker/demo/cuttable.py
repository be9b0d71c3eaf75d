"""HTTP servers on loopback whose connections can be cut, from one moment to the next."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STOP_TIMEOUT = 5.0  # seconds
TICK = 0.02  # seconds between two looks at what a connection waits for


class CuttableServer(ThreadingHTTPServer):
    """Accepts connections, knows all that are open, and can cut them."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, name: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(TICK,), name=name, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, cut what is open, and wait until all of it is closed."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.cut_all()

    def cut_all(self) -> None:
        """Cut every connection, and wait until its thread has let go of it."""
        with self._changed:
            cut = set(self._open)
            for connection in cut:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not cut & self._open, STOP_TIMEOUT)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is what many faults are about; anything else is a defect here.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
