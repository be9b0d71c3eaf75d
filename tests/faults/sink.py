"""An S3 server that takes every byte and keeps none."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

BLOCK = 1024 * 1024


class Sink:
    """Knows what a transfer needs; its ETags are no MD5s, so nobody compares them."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Sink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def _converse(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while self._serve(client):
                pass

    def _serve(self, client: socket.socket) -> bool:
        head = b""
        while b"\r\n\r\n" not in head:
            block = client.recv(65536)
            if not block:
                return False
            head += block
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ")
        length = int(fields.get("content-length", 0))
        with self._counted():
            self._discard(client, length - len(rest))
        client.sendall(self._answer(method, target, length))
        return True

    @contextlib.contextmanager
    def _counted(self):  # type: ignore[no-untyped-def]
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        yield
        with self._lock:
            self._at_once -= 1

    def _discard(self, client: socket.socket, length: int) -> None:
        room = bytearray(BLOCK)
        while length > 0:
            count = client.recv_into(room, min(length, BLOCK), socket.MSG_TRUNC)
            if not count:
                raise ConnectionError
            length -= count

    def _answer(self, method: str, target: str, length: int) -> bytes:
        place = urlsplit(target)
        body = ""
        if method == "PUT" and "uploadId=" in place.query:
            self.sizes[place.path] = self.sizes.get(place.path, 0) + length
        elif method == "PUT":
            self.sizes[place.path] = length
        elif method == "POST" and "uploadId=" not in place.query:
            self.sizes[place.path] = 0
            body = "<R><UploadId>upload</UploadId></R>"
        elif method == "POST":
            body = "<R><ETag>sink</ETag></R>"
        elif method == "HEAD":
            size = self.sizes[place.path]
            return f'HTTP/1.1 200 OK\r\nETag: "sink"\r\nContent-Length: {size}\r\n\r\n'.encode()
        head = f'HTTP/1.1 200 OK\r\nETag: "sink"\r\nContent-Length: {len(body)}\r\n\r\n'
        return head.encode() + body.encode()
