"""Moves bytes from a source into a storage, hashed on the way and verified there."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from threading import BoundedSemaphore

from worker.storage.bodies import Body, Held, OnDisk, Piped
from worker.storage.bucket import Bucket
from worker.storage.connections import Connections
from worker.storage.delivery import MOST_PARTS, Delivery
from worker.storage.intake import Intake, Source, Window, nothing
from worker.storage.keys import check_key
from worker.storage.line import Line, Receipt

KIB = 1024
MIB = 1024 * KIB
REQUEST_TIMEOUT = 60.0

Settle = Callable[[], None]


@dataclass(frozen=True)
class Stored:
    """What was put into the storage and verified there; `etag` without quotes.

    `sha256` is in hexadecimal digits; None where the bytes never came by, as in a copy.
    """

    bytes: int
    sha256: str | None
    etag: str
    content_type: str


class Transfer:
    """Streams sources into object stores. One for a process; calls block, and share nothing but
    the limit of bodies of unknown length, and connections that are kept for the next request.

    Memory, in bytes, for n transfers at once: `n * block + unknown_at_once * (unknown_part_size
    + block)`, whatever the size of the files; with the defaults 40 MiB for n = 32. The kernel's
    socket buffers come on top, two a transfer.
    """

    def __init__(
        self,
        *,
        multipart_threshold: int = 64 * MIB,
        part_size: int = 32 * MIB,
        unknown_part_size: int = 8 * MIB,
        block: int = 256 * KIB,
        unknown_at_once: int = 4,
        request_timeout: float = REQUEST_TIMEOUT,
        compare_md5: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Sizes in bytes; `request_timeout` in seconds, for each block and each answer.

        A file up to `multipart_threshold` goes in one request. A larger one goes in parts of
        `part_size`, larger ones where 10,000 of them would not do. `compare_md5` is what finds a
        storage that keeps other bytes than it got; it costs more processor time than all the rest,
        unless the source is `Spooled`.
        """
        self._threshold = multipart_threshold
        self._part_size = part_size
        self._unknown_part_size = unknown_part_size
        self._block = block
        self._unknown = BoundedSemaphore(unknown_at_once)
        self._compare_md5 = compare_md5
        self._connections = Connections(
            timeout=request_timeout, tls=tls or ssl.create_default_context()
        )

    def send(
        self,
        source: Source,
        store: Bucket,
        key: str,
        *,
        content_type: str,
        cache_control: str | None,
        may_finish: Callable[[], None],
        going_on: Callable[[], None] = nothing,
        complete: Callable[[], None] = nothing,
        expires_in: int,
    ) -> Stored:
        """Stores the whole source at the key, or nothing.

        It calls `going_on` before every block; and at the end of the source, but before the write
        that makes the object visible, `complete` (is the content whole?) and then `may_finish`
        (is the work still ours?). What they raise passes through, as do the source's errors: then
        nothing is visible at the key, and no upload stays open. `expires_in` seconds from now no
        request can begin any more.

        Raises `Outage` when the storage does not work or does not hold what was sent,
        `Temporary` when the source does not keep its promised length, `Permanent` when the
        storage can never take the object.
        """
        intake = Intake(source, going_on=going_on)
        ends_at = time.monotonic() + expires_in
        line = Line(
            store.target,
            self._connections,
            throttle=store.throttle,
            compare_md5=self._compare_md5,
        )
        delivery = Delivery(store, check_key(key), line, content_type, cache_control, ends_at)

        def settle() -> None:
            complete()
            may_finish()

        receipt = self._deliver(intake, delivery, settle)
        if not receipt.proven:
            delivery.verify(intake.bytes)
        return Stored(intake.bytes, intake.sha256, receipt.etag, content_type)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._connections.close()

    def _deliver(self, intake: Intake, delivery: Delivery, settle: Settle) -> Receipt:
        def finish() -> None:
            intake.expect_end()
            settle()

        length = intake.length
        if length is None:
            with self._unknown:
                return self._in_memory(intake, delivery, finish)
        if length > self._threshold:
            return delivery.multipart(self._cut(intake, length), finish)
        if length <= self._block:
            return delivery.single(Held(intake.whole(length), self._block, finish, intake.md5))
        if file := intake.as_file():
            return delivery.single(OnDisk(file, self._block, intake.going_on, settle))
        blocks = intake.blocks(length, self._buffer(), before_last=finish)
        return delivery.single(Piped(length, blocks))

    def _cut(self, intake: Intake, length: int) -> Iterator[Body]:
        size, buffer = max(self._part_size, -(-length // MOST_PARTS)), self._buffer()
        for start in range(0, length, size):
            count = min(size, length - start)
            yield Piped(count, intake.blocks(count, buffer))

    def _in_memory(self, intake: Intake, delivery: Delivery, finish: Settle) -> Receipt:
        window = Window(intake, part_size=self._unknown_part_size, block=self._block)
        parts = window.parts()
        first = next(parts)
        if window.ended and len(first) == intake.bytes:
            return delivery.single(Held(first, self._block, finish))
        bodies = (Held(part, self._block) for part in chain((first,), parts))
        return delivery.multipart(bodies, finish)

    def _buffer(self) -> memoryview:
        return memoryview(bytearray(self._block))
