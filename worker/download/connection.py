"""One request over a connection to an address that was checked before."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING, cast

from worker.download.addresses import Address
from worker.download.pace import Pace
from worker.download.policy import DownloadPolicy
from worker.download.target import Target
from worker.download.transport import Broken, TransportError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HEADERS = {
    "User-Agent": "media-worker",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


@dataclass(frozen=True)
class Answer:
    """A response whose head was read."""

    response: HTTPResponse

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> HTTPMessage:
        return self.response.headers

    @property
    def source(self) -> io.BufferedReader:
        """What follows the head on the connection, as it was sent."""
        return self.response.fp

    def close(self) -> None:
        self.response.close()


@dataclass(frozen=True)
class Caller:
    """Sends GET requests to one target at its checked addresses, within one download's pace."""

    target: Target
    addresses: tuple[Address, ...]
    policy: DownloadPolicy
    pace: Pace
    tls: ssl.SSLContext

    def ask(self, extra: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to one request, whatever its status; raises TransportError."""
        wire = _Wire(self._connect(), self.pace, read_timeout=self.policy.read_timeout)
        try:
            with self.pace.head():
                wire.send(_head(self.target, _HEADERS | dict(extra or {})))
                return _answer(wire)
        except BaseException:
            wire.close()
            raise

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + self.pace.patience(self.policy.connect_timeout)
        connection = self._connect_plain(deadline)
        if self.target.scheme == "http":
            return connection
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            return self.tls.wrap_socket(connection, server_hostname=self.target.host)
        except OSError as error:
            connection.close()
            raise _tls_failure(error) from error

    def _connect_plain(self, deadline: float) -> socket.socket:
        """Try the addresses in turn, each with an equal share of the time that is left."""
        failure: OSError = OSError("no address")
        for tried, address in enumerate(self.addresses):
            left = max(deadline - time.monotonic(), 0.001)
            share = left / (len(self.addresses) - tried)
            try:
                return socket.create_connection((str(address), self.target.port), timeout=share)
            except OSError as error:
                failure = error
        raise Broken(f"no connection ({failure.strerror or failure})") from failure


class _Wire(io.RawIOBase):
    """A connected socket, read in the download's pace."""

    def __init__(self, connection: socket.socket, pace: Pace, *, read_timeout: float) -> None:
        self._connection = connection
        self._pace = pace
        self._read_timeout = read_timeout

    def send(self, data: bytes) -> None:
        try:
            self._wait_at_most(self._pace.patience(self._read_timeout))
            self._connection.sendall(data)
        except OSError as error:
            raise Broken(f"the request could not be sent ({error.strerror or error})") from error

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"  # noqa: S101 - http.client asks for nothing else
        return io.BufferedReader(self, buffer_size=16 * 1024)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._wait_at_most(self._pace.patience(self._read_timeout))
        begun = time.monotonic()
        size = self._receive(buffer)
        self._pace.count(size, waited=time.monotonic() - begun)
        return size

    def close(self) -> None:
        self._connection.close()
        super().close()

    def _wait_at_most(self, seconds: float) -> None:
        # It is the same time for nearly every read, and setting it costs a system call.
        if seconds != self._connection.gettimeout():
            self._connection.settimeout(seconds)

    def _receive(self, buffer: WriteableBuffer) -> int:
        try:
            return self._connection.recv_into(buffer)
        except TimeoutError as error:
            self._pace.patience(self._read_timeout)
            raise Broken(f"it sent nothing for {self._read_timeout:g} seconds") from error
        except OSError as error:
            raise Broken(f"the connection broke ({error.strerror or error})") from error


def _head(target: Target, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {target.path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _answer(wire: _Wire) -> Answer:
    # HTTPResponse wants a socket only to call makefile() on it.
    response = HTTPResponse(cast("socket.socket", wire), method="GET")
    try:
        response.begin()
    except (HTTPException, ValueError) as error:
        # Without its cause, which may quote what the server sent.
        raise Broken(f"its answer cannot be read ({type(error).__name__})") from None
    return Answer(response)


def _tls_failure(error: OSError) -> TransportError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransportError(
            f"its TLS certificate is not valid ({error.verify_message}): "
            "the provider has to renew it, or this machine lacks its authority"
        )
    return Broken(f"no TLS connection ({error.strerror or error})")
