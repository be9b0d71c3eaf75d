"""Sources for transfers: bytes from memory that keep their promises, or break them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from worker.errors import WorkError

KIB = 1024
MIB = 1024 * KIB


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@dataclass
class MemorySource:
    """Gives `body` in reads of at most `at_most` bytes; raises `failure` where the body ends."""

    body: bytes
    length: int | None
    at_most: int = 100_000
    failure: WorkError | None = None
    given: int = field(default=0, init=False)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), self.at_most, len(self.body) - self.given)
        if not count and self.failure:
            raise self.failure
        buffer[:count] = self.body[self.given : self.given + count]
        self.given += count
        return count


def source_of(body: bytes, **options: object) -> MemorySource:
    return MemorySource(body, len(body), **options)  # type: ignore[arg-type]


def source_without_length(body: bytes, **options: object) -> MemorySource:
    return MemorySource(body, None, **options)  # type: ignore[arg-type]
