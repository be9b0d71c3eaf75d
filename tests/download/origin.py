"""A provider on loopback that answers each connection with a script, and so can lie at will."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


class Line:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, stop: threading.Event) -> None:
        self._connection = connection
        self.stop = stop

    def send(self, *parts: bytes) -> bool:
        """Send the parts; False once the client has gone."""
        try:
            self._connection.sendall(b"".join(parts))
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Break the connection, so that the client's next read fails."""
        linger = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._connection.close()

    def hang(self) -> None:
        """Send nothing more until the test is over."""
        self.stop.wait(30)


Script = Callable[[Line, Request], None]


class Origin:
    """The nth connection gets the nth script, further ones the last."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self._scripts = scripts
        self._tls = tls
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]

    def url(self, path: str = "/track.mp3", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def __enter__(self) -> Origin:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _listen(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(number, len(self._scripts) - 1)]
            number += 1
            thread = threading.Thread(target=self._serve, args=(connection, script), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, script: Script) -> None:
        connection.settimeout(10)
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            request = _read_request(connection)
            if request:
                self.requests.append(request)
                script(Line(connection, self._stop), request)
        except OSError:
            pass
        finally:
            connection.close()


def reply(
    body: bytes = b"", status: str = "200 OK", *, length: int | None = None, **headers: str
) -> Script:
    """An answer with a Content-Length, which may be another one than the body's."""
    told = {"Content-Length": str(len(body) if length is None else length)} | _named(headers)

    def script(line: Line, request: Request) -> None:
        line.send(head(status, **told), body)

    return script


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in _named(headers).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def ranged(data: bytes, *, etag: str = '"v1"') -> Script:
    """An honest answer to a Range request."""

    def script(line: Line, request: Request) -> None:
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        rest = data[first:]
        told = f"bytes {first}-{len(data) - 1}/{len(data)}"
        headers = {"ETag": etag, "Content-Range": told, "Content-Length": str(len(rest))}
        line.send(head("206 Partial Content", **headers), rest)

    return script


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _read_request(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(4096)
        if not block:
            return None
        data += block
    first, *lines = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    return Request(method, path, {name.lower(): value for name, value in pairs})
