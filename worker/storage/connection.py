"""One HTTP/1.1 connection to a storage, for one request after another."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from io import BufferedReader
from typing import NamedTuple, cast

from worker.errors import Temporary
from worker.storage.bodies import Block, Span

LONGEST_REFUSAL = 64 * 1024
PATIENCE_WITH_A_BROKEN_CONNECTION = 2.0
# A body's first block up to this size goes into one packet with the head.
JOINED = 16 * 1024
SHRUNK = "the file became shorter while it was sent"


class Address(NamedTuple):
    """Where a connection leads to."""

    scheme: str
    host: str
    port: int


class Broken(Exception):
    """There is no answer on the connection; `error` is what broke it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error

    @property
    def lost(self) -> bool:
        """Whether the other side hung up, as it may on a connection that it was tired of."""
        return isinstance(self.error, OSError) and not isinstance(self.error, TimeoutError)


@dataclass(frozen=True)
class Answer:
    """An answer, with as much of its body as an error's takes."""

    status: int
    headers: HTTPMessage
    body: bytes


class Connection:
    """For one thread at a time. `timeout` is in seconds, for each block and each answer."""

    def __init__(self, address: Address, *, timeout: float, tls: ssl.SSLContext) -> None:
        """Raises `Broken` when there is no way to the address."""
        self.address = address
        self.reusable = False
        self._timeout = timeout
        try:
            self._sock = _opened(address, timeout, tls)
        except OSError as error:
            raise Broken(error) from error
        self._reader = self._sock.makefile("rb")
        self._used = False

    def exchange(self, method: str, head: bytes, blocks: Iterator[Block]) -> Answer:
        """Sends a request; returns the answer, of whatever status.

        An error of the blocks' iterator passes through: the body stays incomplete, and the
        connection is good for nothing but to be closed. So it is after `Broken`.
        """
        self._begin()
        try:
            self._send(head, blocks)
        except Broken as broken:
            return self._early_answer(method, broken)
        return self._answer(method)

    def is_quiet(self) -> bool:
        """Whether a new request can go out: an open connection without anything unread on it."""
        hidden = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return not hidden and not _readable(self._sock)

    def close(self) -> None:
        """Closes it in the middle of whatever is on the way."""
        self._reader.close()
        self._sock.close()

    def _begin(self) -> None:
        if self._used:  # http.client has closed the reader with its answer
            self._reader = self._sock.makefile("rb")
        self._used, self.reusable = True, False

    def _send(self, head: bytes, blocks: Iterator[Block]) -> None:
        first = next(blocks, None)
        if isinstance(first, memoryview) and len(first) <= JOINED:
            self._write(memoryview(head + first))
        else:
            self._write(memoryview(head))
            if first is not None:
                self._write(first)
        for block in blocks:
            self._write(block)

    def _write(self, block: Block) -> None:
        data = block
        if isinstance(block, Span) and isinstance(self._sock, ssl.SSLSocket):
            data = _read(block)  # outside: what fails here is not the storage
        try:
            if self._has_answered():
                raise ConnectionAbortedError
            if isinstance(data, Span):
                self._send_span(data)
            else:
                self._sock.sendall(data)
        except OSError as error:
            raise Broken(error) from error

    def _send_span(self, span: Span) -> None:
        """The kernel sends it, straight from where it keeps the file."""
        offset, end = span.offset, span.offset + span.length
        while offset < end:
            try:
                count = os.sendfile(self._sock.fileno(), span.file, offset, end - offset)
            except BlockingIOError:
                self._wait_for_room()
                continue
            if not count:
                raise Temporary(SHRUNK)
            offset += count

    def _wait_for_room(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        if not poll.poll(self._timeout * 1000):
            raise TimeoutError
        if self._has_answered():
            raise ConnectionAbortedError

    def _has_answered(self) -> bool:
        """Whether an answer is there before the request is."""
        return _readable(self._sock) and not self._peek_is_interim()

    def _peek_is_interim(self) -> bool:
        """TLS's own messages are no answer."""
        seen = self._peek()
        return seen is None or seen.startswith(b"HTTP/1.1 1")

    def _peek(self) -> bytes | None:
        """What was received and not read; None when that is nothing that concerns us."""
        self._sock.setblocking(False)
        try:
            return self._reader.peek(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        finally:
            self._sock.settimeout(self._timeout)

    def _early_answer(self, method: str, broken: Broken) -> Answer:
        """What the storage answered before it broke the request off; else what broke it."""
        self._sock.settimeout(PATIENCE_WITH_A_BROKEN_CONNECTION)
        try:
            answer = self._answer(method)
        except Broken:
            raise broken from None
        self.reusable = False
        if answer.status < 300:
            raise Broken(ConnectionAbortedError("it answered before it had the whole body"))
        return answer

    def _answer(self, method: str) -> Answer:
        response = HTTPResponse(cast("socket.socket", _Answered(self._reader)), method=method)
        try:
            response.begin()
            body = response.read(LONGEST_REFUSAL)
        except (OSError, HTTPException, ValueError) as error:
            raise Broken(error) from error
        self.reusable = response.isclosed() and not response.will_close
        return Answer(response.status, response.headers, body)


class _Answered:
    """Lets http.client read on where an early answer was looked for."""

    def __init__(self, reader: BufferedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> BufferedReader:
        return self._reader


def _opened(address: Address, timeout: float, tls: ssl.SSLContext) -> socket.socket:
    sock = socket.create_connection((address.host, address.port), timeout=timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.scheme == "https":
            return tls.wrap_socket(sock, server_hostname=address.host)
    except BaseException:
        sock.close()
        raise
    return sock


def _read(span: Span) -> memoryview:
    data = os.pread(span.file, span.length, span.offset)
    if len(data) < span.length:
        raise Temporary(SHRUNK)
    return memoryview(data)


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
