"""A strict little S3 server over raw sockets, which misbehaves on command.

Strict as R2 is: it takes no body without Content-Length and no part that differs in size from the
others, and it never answers `Expect: 100-continue` before it has the body.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

LINGER_AND_RESET = struct.pack("ii", 1, 0)
BLOCK = 65536


@dataclass
class Request:
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))

    @property
    def signed_headers(self) -> set[str]:
        return set(self.query.get("X-Amz-SignedHeaders", "").split(";"))


@dataclass
class StoredObject:
    body: bytes
    headers: dict[str, str]
    etag: str


class Wire:
    """The server's end of a connection, for faults to play with."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def head(self) -> Request:
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        method, target, _ = first.split(" ")
        place = urlsplit(target)
        pairs = (line.partition(":") for line in lines)
        query = {n: v[0] for n, v in parse_qs(place.query, keep_blank_values=True).items()}
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Request(method, unquote(place.path), query, headers)

    def read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._buffer += self._receive()
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def take(self, limit: int) -> bytes:
        """What of the body came together with the head."""
        data, self._buffer = self._buffer[:limit], self._buffer[limit:]
        return data

    def reply(self, status: int, body: str = "", **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {"Content-Length": str(len(body))} | given
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.sock.sendall(f"HTTP/1.1 {status} Status\r\n{lines}\r\n{body}".encode())

    def refuse(self, status: int, code: str, message: str = "", **headers: str) -> None:
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.reply(status, error, **headers)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_AND_RESET)
        self.sock.close()
        raise ConnectionError

    def _receive(self) -> bytes:
        data = self.sock.recv(BLOCK)
        if not data:
            raise ConnectionError
        return data


Fault = Callable[[Wire, Request], bool]
"""Called when the head of a request is there; True when it dealt with the request."""


@dataclass
class S3StandIn:
    """Serves one bucket while the context is open; `faults` are tried before each request."""

    tls: ssl.SSLContext | None = None
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    part_sizes: list[int] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> S3StandIn:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        scheme = "https" if self.tls else "http"
        host = "localhost" if self.tls else "127.0.0.1"
        self.endpoint = f"{scheme}://{host}:{self._listener.getsockname()[1]}"
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def fail_once(self, method: str, fault: Fault) -> None:
        """The next request with this method meets the fault."""

        def once(wire: Wire, request: Request) -> bool:
            if request.method != method:
                return False
            self.faults.remove(once)
            return fault(wire, request)

        self.faults.append(once)

    def fail_always(self, method: str, fault: Fault) -> None:
        """Every request with this method meets the fault."""
        self.faults.append(lambda wire, request: request.method == method and fault(wire, request))

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._run(self._converse, sock)

    def _converse(self, plain: socket.socket) -> None:
        self._open.add(plain)
        with contextlib.suppress(OSError), plain:
            sock = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            self._open |= {sock}
            with sock:
                wire = Wire(sock)
                while True:
                    self._serve(wire, wire.head())

    def _serve(self, wire: Wire, request: Request) -> None:
        self.requests.append(request)
        if any(fault(wire, request) for fault in list(self.faults)):
            return None
        if "transfer-encoding" in request.headers:
            return wire.refuse(501, "NotImplemented", "Transfer-Encoding")
        if request.method in ("PUT", "POST") and "content-length" not in request.headers:
            return wire.refuse(411, "MissingContentLength")
        request.body = wire.read(request.length)
        return getattr(self, f"_{request.method.lower()}")(wire, request)

    def _put(self, wire: Wire, request: Request) -> None:
        etag = hashlib.md5(request.body).hexdigest()
        if upload := request.query.get("uploadId"):
            if upload not in self.uploads:
                return wire.refuse(404, "NoSuchUpload")
            self.uploads[upload][int(request.query["partNumber"])] = request.body
        else:
            self.objects[request.key] = StoredObject(request.body, request.headers, etag)
        return wire.reply(200, ETag=f'"{etag}"')

    def _post(self, wire: Wire, request: Request) -> None:
        if "delete" in request.query:
            return wire.refuse(501, "NotImplemented")
        if "uploads" in request.query:
            upload = uuid.uuid4().hex
            self.uploads[upload] = {}
            xml = f"<UploadId>{upload}</UploadId>"
            return wire.reply(
                200, f"<InitiateMultipartUploadResult>{xml}</InitiateMultipartUploadResult>"
            )
        return self._complete(wire, request)

    def _complete(self, wire: Wire, request: Request) -> None:
        parts = self.uploads.pop(request.query["uploadId"], {})
        bodies = [parts[number] for number in sorted(parts)] or [b""]
        self.part_sizes = [len(body) for body in bodies]
        if len(set(self.part_sizes[:-1])) > 1 or self.part_sizes[-1] > self.part_sizes[0]:
            return wire.refuse(400, "InvalidPart", "All parts but the last must be equal.")
        etag = f"{uuid.uuid4().hex}-{len(bodies)}"
        self.objects[request.key] = StoredObject(b"".join(bodies), request.headers, etag)
        xml = f"<ETag>&quot;{etag}&quot;</ETag>"
        return wire.reply(
            200, f"<CompleteMultipartUploadResult>{xml}</CompleteMultipartUploadResult>"
        )

    def _head(self, wire: Wire, request: Request) -> None:
        if found := self.objects.get(request.key):
            return wire.reply(200, ETag=f'"{found.etag}"', Content_Length=str(len(found.body)))
        return wire.reply(404)

    def _get(self, wire: Wire, request: Request) -> None:
        if "uploads" in request.query:
            now = datetime.now(UTC).isoformat()
            fields = f"<Key>a</Key><Initiated>{now}</Initiated>"
            xml = (f"<Upload><UploadId>{id}</UploadId>{fields}</Upload>" for id in self.uploads)
            return wire.reply(200, f"<Result>{''.join(xml)}</Result>")
        found = self.objects[request.key]
        return wire.reply(200, found.body.decode(), ETag=f'"{found.etag}"')

    def _delete(self, wire: Wire, request: Request) -> None:
        if upload := request.query.get("uploadId"):
            self.uploads.pop(upload, None)
        else:
            self.objects.pop(request.key, None)
        wire.reply(204)


def refuse(status: int, code: str, message: str = "", **headers: str) -> Fault:
    """Takes the whole body, then refuses."""

    def fault(wire: Wire, request: Request) -> bool:
        wire.read(request.length)
        wire.refuse(status, code, message, **headers)
        return True

    return fault


def refuse_early(status: int, code: str, *, close: bool) -> Fault:
    """Refuses before the body came; then closes, or just never reads on."""

    def fault(wire: Wire, request: Request) -> bool:
        wire.refuse(status, code)
        if close:
            raise ConnectionError
        wire.sock.recv(1)  # so that a client that writes on blindly fills the socket's buffers
        return wait_for_the_client(wire)

    return fault


def wait_for_the_client(wire: Wire) -> bool:
    """Reads nothing more until the client hangs up."""
    poll = select.poll()
    poll.register(wire.sock, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    poll.poll(5000)
    raise ConnectionError


def reset_within_body(wire: Wire, request: Request) -> bool:
    wire.read(request.length // 2)
    wire.reset()
    return True


def never_answer(wire: Wire, request: Request) -> bool:
    wire.read(request.length)
    return wait_for_the_client(wire)


def with_etag(standin: S3StandIn, etag: str, **headers: str) -> Fault:
    """Stores the body under an ETag of another kind."""

    def fault(wire: Wire, request: Request) -> bool:
        body = wire.read(request.length)
        standin.objects[request.key] = StoredObject(body, {}, etag)
        wire.reply(200, ETag=f'"{etag}"', **headers)
        return True

    return fault


def lie_about_etag(wire: Wire, request: Request) -> bool:
    wire.read(request.length)
    wire.reply(200, ETag=f'"{"0" * 32}"')
    return True
