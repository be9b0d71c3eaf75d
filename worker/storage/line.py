"""Presigned requests to a storage, over connections that are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import cast
from urllib.parse import SplitResult, urlsplit

from worker.errors import Outage
from worker.storage import failures
from worker.storage.bodies import NO_BODY, Block, Body
from worker.storage.config import StorageTarget
from worker.storage.connection import Address, Answer, Broken, Connection
from worker.storage.connections import Connections
from worker.storage.etags import md5_of
from worker.storage.signing import DEFAULT_PORTS, host_of
from worker.storage.throttle import Turns


@dataclass(frozen=True)
class Receipt:
    """The ETag that the storage gave, without quotes, and whether it proves what is stored."""

    etag: str
    proven: bool


class Line:
    """The way of one transfer's requests. The storage's errors come out as in `failures`, and no
    message holds a URL.

    A request is sent over a connection that is kept only where it can be repeated: the storage
    may be closing that very connection. Each request waits for its turn at the `throttle`.
    `compare_md5` is whether MD5s are computed that are not known.
    """

    def __init__(
        self,
        target: StorageTarget,
        connections: Connections,
        *,
        throttle: Turns,
        compare_md5: bool,
    ) -> None:
        self._target = target
        self._throttle = throttle
        self._connections = connections
        self._compare_md5 = compare_md5

    def put(self, url: str, headers: Mapping[str, str], body: Body) -> Receipt:
        """Sends the body. An ETag that is an MD5 must be that of the body, or `Outage` is raised.

        An error of the body's blocks passes through: it stays incomplete, and nothing is stored.
        """
        call = _Call("PUT", url, headers, body, self._compare_md5)
        answer = self._ask(call)
        etag = (answer.headers.get("ETag") or "").strip('"')
        stored = md5_of(etag, answer.headers.items())
        if stored and call.md5 and stored != call.md5:
            reason = "stored other bytes than were sent (their MD5 differs)"
            service = self._target.service
            raise Outage(service, f"{service}: {self._target.host} {reason}")
        return Receipt(etag, proven=bool(stored and call.md5))

    def size(self, url: str) -> int:
        """The size in bytes of the object behind a presigned HEAD; -1 when that is not told."""
        answer = self._ask(_Call("HEAD", url, {}, NO_BODY, False))
        length = answer.headers.get("Content-Length") or ""
        return int(length) if length.isdigit() else -1

    def _ask(self, call: _Call) -> Answer:
        try:
            answer = self._exchange(call)
        except Broken as broken:
            self._throttle.failed()
            raise failures.unreachable(self._target, broken.error) from broken.error
        refusal = failures.read_refusal(answer.status, answer.headers, answer.body)
        throttled = self._throttle.heed(refusal)
        if answer.status >= 300:
            raise failures.judge(self._target, replace(refusal, throttled=throttled))
        return answer

    def _exchange(self, call: _Call) -> Answer:
        # before the first of the body: its end is where it is asked whether the work is still ours
        self._throttle.acquire()
        if call.repeatable and (kept := self._connections.kept(call.address)):
            try:
                return self._over(kept, call, call.blocks())
            except Broken as broken:
                if not broken.lost:
                    raise
            self._throttle.acquire()
        blocks = call.blocks() if call.repeatable else _begun(call.blocks())
        return self._over(self._connections.new(call.address), call, blocks)

    def _over(self, connection: Connection, call: _Call, blocks: Iterator[Block]) -> Answer:
        try:
            answer = connection.exchange(call.method, call.head, blocks)
        except BaseException:
            connection.close()
            raise
        self._connections.keep(connection)
        return answer


class _Call:
    """A request as it goes over the wire, and the MD5 of the body that was sent last."""

    def __init__(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, compare_md5: bool
    ) -> None:
        place = urlsplit(url)
        self.method = method
        self.address = _address(place)
        self.head = _head(method, place, {"Host": host_of(url), **headers})
        self.repeatable = body.repeatable
        self._body = body
        self._sum = hashlib.md5(usedforsecurity=False)
        self._summed = compare_md5 and not body.md5

    @property
    def md5(self) -> str:
        """In hexadecimal digits; empty when it was neither known nor computed."""
        return self._sum.hexdigest() if self._summed else self._body.md5

    def blocks(self) -> Iterator[Block]:
        return self._summing_up() if self._summed else self._body.blocks()

    def _summing_up(self) -> Iterator[Block]:
        self._sum = hashlib.md5(usedforsecurity=False)
        for block in self._body.blocks():
            self._sum.update(cast("memoryview", block))
            yield block


def _begun(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, the first of which is there already."""
    return chain(list(islice(blocks, 1)), blocks)


def _address(place: SplitResult) -> Address:
    port = place.port or DEFAULT_PORTS[place.scheme]
    return Address(place.scheme, place.hostname or "", port)


def _head(method: str, place: SplitResult, headers: Mapping[str, str]) -> bytes:
    fields = {"Accept-Encoding": "identity", **headers}
    if any(not value.isprintable() for value in fields.values()):
        raise ValueError("a header has control characters")
    lines = [f"{method} {place.path}?{place.query} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join((*lines, "", "")).encode("ascii")
