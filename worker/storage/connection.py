"""One HTTP connection to a storage, over which bodies are piped into presigned requests."""

from __future__ import annotations

import contextlib
import hashlib
import re
import select
import socket
import ssl
from collections.abc import Iterable, Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse
from io import BufferedReader
from itertools import chain
from typing import cast
from urllib.parse import urlsplit

from worker.errors import Outage, WorkError
from worker.storage import failures
from worker.storage.config import StorageTarget

LONGEST_REFUSAL = 64 * 1024
PATIENCE_WITH_A_BROKEN_CONNECTION = 2.0

_MD5 = re.compile(r"[0-9a-f]{32}")
_ENCRYPTION = "x-amz-server-side-encryption"


class Connection:
    """A new connection for each body, so that none is lost to one that the storage is closing.

    `timeout` is in seconds, for each block and each answer. For one thread. The storage's errors
    come out as in `failures`; no message holds a URL.
    """

    def __init__(
        self, target: StorageTarget, *, timeout: float, tls: ssl.SSLContext, compare_md5: bool
    ) -> None:
        self._target = target
        self._timeout = timeout
        self._tls = tls
        self._compare_md5 = compare_md5
        self._sock: socket.socket | None = None
        self._reader: BufferedReader | None = None

    def put(self, url: str, headers: Mapping[str, str], blocks: Iterable[memoryview]) -> str:
        """Sends the blocks as the body; returns the ETag, without quotes.

        An ETag that is an MD5 must be that of the blocks, or `Outage` is raised. An error of
        the blocks' iterator passes through: the body stays incomplete, and nothing is stored.
        """
        md5 = hashlib.md5(usedforsecurity=False) if self._compare_md5 else None
        rest = iter(blocks)
        first = next(rest, None)
        self.close()
        self._begin("PUT", url, headers)
        for block in chain((first,), rest) if first else ():
            if md5:
                md5.update(block)
            self._send(block)
        answer = self._finish("PUT")
        if md5:
            self._check_etag(answer, md5.hexdigest())
        return _etag(answer)

    def size(self, url: str) -> int:
        """The size in bytes of the object behind a presigned HEAD.

        It is asked for on the connection that a body went over before, and once more on a new one.
        """
        if self._sock:
            with contextlib.suppress(Outage):
                return self._size(url)
            self.close()
        return self._size(url)

    def close(self) -> None:
        """Closes it in the middle of whatever is on the way."""
        if self._reader:
            self._reader.close()
        if self._sock:
            self._sock.close()
        self._reader = self._sock = None

    def _size(self, url: str) -> int:
        self._begin("HEAD", url, {})
        length = self._finish("HEAD").get("Content-Length") or ""
        return int(length) if length.isdigit() else -1

    def _begin(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        place = urlsplit(url)
        fields = {"Host": place.netloc, "Accept-Encoding": "identity", **headers}
        if any(not value.isprintable() for value in fields.values()):
            raise ValueError("a header has control characters")
        lines = [f"{method} {place.path}?{place.query} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        try:
            sock = self._open(place.scheme, place.hostname or "", place.port)
            self._reader = sock.makefile("rb")
        except OSError as error:
            raise failures.unreachable(self._target, error) from error
        self._send("\r\n".join((*lines, "", "")).encode("ascii"))

    def _open(self, scheme: str, host: str, port: int | None) -> socket.socket:
        if self._sock is None:
            port = port or (443 if scheme == "https" else 80)
            sock = socket.create_connection((host, port), timeout=self._timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "https":
                sock = self._tls.wrap_socket(sock, server_hostname=host)
            self._sock = sock
        return self._sock

    def _send(self, data: memoryview | bytes) -> None:
        assert self._sock is not None  # noqa: S101
        try:
            if self._has_answered():
                raise ConnectionAbortedError
            self._sock.sendall(data)
        except OSError as error:
            raise self._verdict(error) from error

    def _has_answered(self) -> bool:
        """Whether an answer is there before the request is; TLS's own messages are none."""
        assert self._sock is not None and self._reader is not None  # noqa: S101
        if not _readable(self._sock):
            return False
        self._sock.setblocking(False)
        try:
            return not self._reader.peek(1).startswith(b"HTTP/1.1 1")
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        finally:
            self._sock.settimeout(self._timeout)

    def _verdict(self, error: OSError) -> WorkError:
        """What the storage answered before it broke the request off; else what broke it."""
        assert self._sock is not None  # noqa: S101
        self._sock.settimeout(PATIENCE_WITH_A_BROKEN_CONNECTION)
        try:
            self._finish("PUT")
        except Outage as answer:
            broken = answer.__cause__ is not None
            return failures.unreachable(self._target, error) if broken else answer
        except WorkError as answer:
            return answer
        reason = "answered before it had the whole body"
        return Outage(self._target.service, f"{self._target.service}: {self._target.host} {reason}")

    def _finish(self, method: str) -> HTTPMessage:
        """The headers of a good answer."""
        assert self._reader is not None  # noqa: S101
        response = HTTPResponse(cast("socket.socket", _Answered(self._reader)), method=method)
        try:
            response.begin()
            body = response.read(LONGEST_REFUSAL)
        except (OSError, HTTPException, ValueError) as error:
            raise failures.unreachable(self._target, error) from error
        if response.status >= 300:
            refusal = failures.read_refusal(response.status, response.headers, body)
            raise failures.judge(self._target, refusal)
        if response.will_close or not response.isclosed():
            self.close()
        return response.headers

    def _check_etag(self, answer: HTTPMessage, md5: str) -> None:
        etag = _etag(answer)
        if _MD5.fullmatch(etag) and etag != md5 and not _is_encrypted(answer):
            reason = "stored other bytes than were sent (their MD5 differs)"
            service = self._target.service
            raise Outage(service, f"{service}: {self._target.host} {reason}")


class _Answered:
    """Lets http.client read on where an early answer was looked for."""

    def __init__(self, reader: BufferedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> BufferedReader:
        return self._reader


def _etag(answer: HTTPMessage) -> str:
    return (answer.get("ETag") or "").strip('"')


def _is_encrypted(answer: HTTPMessage) -> bool:
    """Whether with a key of the customer's or of a key service: ETags then only look like MD5s."""
    return any(
        name.lower().startswith(_ENCRYPTION) and value != "AES256" for name, value in answer.items()
    )


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
