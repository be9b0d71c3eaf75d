"""What a transfer costs in memory does not depend on the size of the file."""

from __future__ import annotations

import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from mmap import mmap
from threading import RLock

import pytest

from tests.storage.conftest import send_with, target_at
from tests.storage.s3_standin import Request, S3StandIn, Wire
from tests.storage.sources import KIB, MIB
from worker.storage import ObjectStore, Transfer

SIZE = 40 * MIB
PLAIN = 2 * MIB  # connections, threads and boto3's own


@dataclass
class Zeros:
    size: int
    length: int | None

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), self.size)
        self.size -= count
        return count


class Windows:
    """The memory that `mmap` gives, which tracemalloc does not see."""

    def __init__(self) -> None:
        self.bytes = self.peak = 0
        self._lock = RLock()

    def __call__(self, file: int, size: int) -> mmap:
        window = mmap(file, size)
        self._count(size)
        weakref.finalize(window, self._count, -size)
        return window

    def _count(self, size: int) -> None:
        with self._lock:
            self.bytes += size
            self.peak = max(self.peak, self.bytes)


@pytest.mark.parametrize(
    ("known", "formula"),
    [(True, 8 * 256 * KIB), (False, 2 * (8 * MIB + 256 * KIB))],
    ids=["known", "unknown"],
)
def test_memory_of_many_large_bodies_is_what_the_formula_says(
    monkeypatch: pytest.MonkeyPatch, known: bool, formula: int
) -> None:
    windows = Windows()
    monkeypatch.setattr("worker.storage.intake.mmap", windows)
    with S3StandIn() as standin:
        standin.faults.append(discard)
        store = ObjectStore(target_at(standin.endpoint))
        transfer = Transfer(part_size=10 * MIB, multipart_threshold=20 * MIB, unknown_at_once=2)

        def run(number: int) -> None:
            source = Zeros(SIZE, SIZE if known else None)
            send_with(transfer, source, store, key=f"k{number}")

        with ThreadPoolExecutor(8) as threads:
            run(0)
            tracemalloc.start()
            try:
                list(threads.map(run, range(8)))
                peak = tracemalloc.get_traced_memory()[1] + windows.peak
            finally:
                tracemalloc.stop()
        store.client.close()
    assert formula / 2 < peak < formula + PLAIN


room = bytearray(256 * KIB)


def discard(wire: Wire, request: Request) -> bool:
    """Takes parts without keeping them; the object has the size that was sent."""
    if request.method == "HEAD":
        wire.reply(200, Content_Length=str(SIZE))
        return True
    if request.method != "PUT":
        return False
    left = request.length - len(wire.take(request.length))
    while left:
        left -= wire.sock.recv_into(room, min(left, len(room)))
    wire.reply(200, ETag='"discarded"')
    return True
