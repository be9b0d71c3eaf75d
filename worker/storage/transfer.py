"""Moves bytes from a source into a storage, hashed on the way and verified there."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import BoundedSemaphore

from worker.storage.bucket import Bucket
from worker.storage.connection import Connection
from worker.storage.delivery import MOST_PARTS, Delivery, Part
from worker.storage.intake import Intake, Source, Window, nothing, slices
from worker.storage.keys import check_key

KIB = 1024
MIB = 1024 * KIB
REQUEST_TIMEOUT = 60.0


@dataclass(frozen=True)
class Stored:
    """What a transfer put into the storage and verified there; `etag` without quotes."""

    bytes: int
    sha256: str
    etag: str
    content_type: str


class Transfer:
    """Streams sources into object stores. One for a process; calls block, and share no state
    but the limit of bodies of unknown length.

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
        storage that keeps other bytes than it got; it costs more processor time than all the rest.
        """
        self._threshold = multipart_threshold
        self._part_size = part_size
        self._unknown_part_size = unknown_part_size
        self._block = block
        self._unknown = BoundedSemaphore(unknown_at_once)
        self._timeout = request_timeout
        self._compare_md5 = compare_md5
        self._tls = tls or ssl.create_default_context()

    def send(
        self,
        source: Source,
        store: Bucket,
        key: str,
        *,
        content_type: str,
        cache_control: str | None,
        may_finish: Callable[[], None],
        complete: Callable[[], None] = nothing,
        expires_in: int,
    ) -> Stored:
        """Stores the whole source at the key, or nothing.

        At the end of the source, but before the write that makes the object visible, it calls
        `complete` (is the content whole?) and then `may_finish` (is the work still ours?). What
        they raise passes through, as do the source's errors: then nothing is visible at the key,
        and no upload stays open. `expires_in` seconds from now no request can begin any more.

        Raises `Outage` when the storage does not work or does not hold what was sent,
        `Temporary` when the source does not keep its promised length, `Permanent` when the
        storage can never take the object.
        """
        intake = Intake(source)
        ends_at = time.monotonic() + expires_in
        with closing(self._connection(store)) as connection:
            delivery = Delivery(
                store, check_key(key), connection, content_type, cache_control, ends_at
            )

            def finish() -> None:
                intake.expect_end()
                complete()
                may_finish()

            etag = self._deliver(intake, delivery, finish)
            delivery.verify(intake.bytes)
        return Stored(intake.bytes, intake.sha256, etag, content_type)

    def _connection(self, store: Bucket) -> Connection:
        return Connection(
            store.target, timeout=self._timeout, tls=self._tls, compare_md5=self._compare_md5
        )

    def _deliver(self, intake: Intake, delivery: Delivery, finish: Callable[[], None]) -> str:
        if intake.length is None:
            with self._unknown:
                return self._in_memory(intake, delivery, finish)
        buffer = memoryview(bytearray(self._block))
        if intake.length <= self._threshold:
            blocks = intake.blocks(intake.length, buffer, before_last=finish)
            return delivery.single(Part(intake.length, blocks))
        return delivery.multipart(self._cut(intake, intake.length, buffer), finish)

    def _cut(self, intake: Intake, length: int, buffer: memoryview) -> Iterator[Part]:
        size = max(self._part_size, -(-length // MOST_PARTS))
        for start in range(0, length, size):
            count = min(size, length - start)
            yield Part(count, intake.blocks(count, buffer))

    def _in_memory(self, intake: Intake, delivery: Delivery, finish: Callable[[], None]) -> str:
        window = Window(intake, part_size=self._unknown_part_size, block=self._block)
        parts = window.parts()
        first = next(parts)
        if window.ended and len(first) == intake.bytes:
            blocks = slices(first, self._block, before_last=finish)
            return delivery.single(Part(len(first), blocks))
        return delivery.multipart(self._in_blocks(first, parts), finish)

    def _in_blocks(self, first: memoryview, rest: Iterator[memoryview]) -> Iterator[Part]:
        yield Part(len(first), slices(first, self._block))
        for part in rest:
            yield Part(len(part), slices(part, self._block))
