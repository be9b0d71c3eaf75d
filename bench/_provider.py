"""A provider that costs next to nothing: sends zeros from memory with sendfile, over loopback.

`GET /{bytes}` answers with a Content-Length, `GET /unknown/{bytes}` in chunks.
Run as `python -m bench._provider`; prints its port and serves until its standard input ends.
"""

from __future__ import annotations

import os
import socket

from bench._server import Connection, serve

FILE_SIZE = 8 * 1024 * 1024
CHUNK = 1024 * 1024


def main() -> None:
    file = os.memfd_create("provider")
    os.ftruncate(file, FILE_SIZE)
    serve(lambda connection: answer(connection, file))


def answer(connection: Connection, file: int) -> None:
    request = connection.head()
    *kind, size = request.path.strip("/").split("/")
    if kind:
        return send_in_chunks(connection.sock, file, int(size))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {size}\r\n\r\n"
    connection.sock.sendall(head.encode(), socket.MSG_MORE)
    return send_zeros(connection.sock, file, int(size))


def send_in_chunks(sock: socket.socket, file: int, size: int) -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    sock.sendall(head.encode(), socket.MSG_MORE)
    for start in range(0, size, CHUNK):
        length = min(CHUNK, size - start)
        sock.sendall(f"{length:x}\r\n".encode(), socket.MSG_MORE)
        send_zeros(sock, file, length)
        sock.sendall(b"\r\n", socket.MSG_MORE)
    sock.sendall(b"0\r\n\r\n")


def send_zeros(sock: socket.socket, file: int, size: int) -> None:
    while size:
        size -= os.sendfile(sock.fileno(), file, 0, min(size, FILE_SIZE))


if __name__ == "__main__":
    main()
