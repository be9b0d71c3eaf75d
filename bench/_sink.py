"""An object storage that costs next to nothing: takes every byte and keeps none, over loopback.

Knows what a client needs around a transfer: PUT, the three calls of a multipart upload, HEAD with
the length that came, DELETE. Its ETags are those of zeros, which is what the provider sends: so a
client that compares them does so here as with a real storage.
Run as `python -m bench._sink`; prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import hashlib
import socket
from collections import defaultdict
from functools import cache

from bench._server import Connection, Request, serve

ROOM = 1024 * 1024


class Sink:
    def __init__(self) -> None:
        self._sizes: dict[str, int] = defaultdict(int)
        self._room = bytearray(ROOM)

    def answer(self, connection: Connection) -> None:
        request = connection.head()
        if request.headers.get("expect"):
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._discard(connection, request.length)
        getattr(self, f"_{request.method.lower()}")(connection.sock, request)

    def _put(self, sock: socket.socket, request: Request) -> None:
        if "uploadId=" in request.query:
            self._sizes[request.path] += request.length
        else:
            self._sizes[request.path] = request.length
        reply(sock, "", f'ETag: "{etag_of_zeros(request.length)}"\r\n')

    def _post(self, sock: socket.socket, request: Request) -> None:
        if "uploadId=" in request.query:
            return reply(sock, "<CompleteMultipartUploadResult/>")
        self._sizes[request.path] = 0
        xml = "<UploadId>upload</UploadId>"
        return reply(sock, f"<InitiateMultipartUploadResult>{xml}</InitiateMultipartUploadResult>")

    def _head(self, sock: socket.socket, request: Request) -> None:
        size = self._sizes[request.path]
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())

    def _delete(self, sock: socket.socket, request: Request) -> None:
        self._sizes.pop(request.path, None)
        reply(sock, "")

    def _discard(self, connection: Connection, length: int) -> None:
        """The kernel drops the bytes without copying them (MSG_TRUNC)."""
        length -= connection.take(length)
        while length:
            count = connection.sock.recv_into(self._room, min(length, ROOM), socket.MSG_TRUNC)
            if not count:
                raise ConnectionError
            length -= count


@cache
def etag_of_zeros(length: int) -> str:
    return hashlib.md5(bytes(length), usedforsecurity=False).hexdigest()


def reply(sock: socket.socket, body: str, headers: str = "") -> None:
    head = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body.encode())


if __name__ == "__main__":
    serve(Sink().answer)
