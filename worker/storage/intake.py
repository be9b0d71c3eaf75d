"""The side of a transfer that the bytes come from: counted, hashed, held to their promise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Protocol, cast

from worker.errors import Temporary


class Source(Protocol):
    """Bytes that are read once, such as the body of a download.

    `length` is what the sender promised, in bytes; None when it promised nothing.
    """

    @property
    def length(self) -> int | None: ...

    def readinto(self, buffer: memoryview, /) -> int:
        """Fills the front of the buffer and returns how much of it; 0 at the end.

        Raises a `WorkError` when the source fails, which passes through a transfer unchanged.
        """
        ...


class Spooled(Source, Protocol):
    """A source that is a file of this machine, all there and known, of which nothing is computed
    any more.

    `sha256` and `md5` are in hexadecimal digits, `fileno` is of a file of `length` bytes.
    """

    @property
    def length(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def md5(self) -> str: ...
    def fileno(self) -> int: ...


def _spooled(source: Source) -> Spooled | None:
    # a hundredth of the time of isinstance() with a protocol
    known = all(hasattr(source, name) for name in ("sha256", "md5", "fileno"))
    return cast(Spooled, source) if known else None


def nothing() -> None:
    """Nothing has to be done before the last block."""


class Intake:
    """Reads a source once, in blocks that live in one buffer (each is gone with the next)."""

    def __init__(self, source: Source, *, going_on: Callable[[], None] = nothing) -> None:
        """`going_on` is called before every read, and may raise."""
        self.length = source.length
        self.bytes = 0
        self.going_on = going_on
        self._source = source
        self._known = _spooled(source)
        self._sha256 = hashlib.sha256()
        self._ended = False

    @property
    def sha256(self) -> str:
        """Of the whole source where that is known, else of everything read so far."""
        return self._known.sha256 if self._known else self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Of the whole source where that is known, else empty."""
        return self._known.md5 if self._known else ""

    def as_file(self) -> Spooled | None:
        """The source, where it is a file: it then counts as read."""
        if self._known:
            self.bytes = self._known.length
        return self._known

    def read(self, room: memoryview) -> int:
        """Reads once into `room`; 0 at the end."""
        self.going_on()
        count = self._source.readinto(room)
        if self._known is None:
            self._sha256.update(room[:count])
        self.bytes += count
        return count

    def blocks(
        self, length: int, buffer: memoryview, *, before_last: Callable[[], None] = nothing
    ) -> Iterator[memoryview]:
        """The next `length` bytes; calls `before_last` when it has, but not yet gave, the last."""
        left = length
        while left:
            count = self.read(buffer[: min(left, len(buffer))])
            self._check_promise(count)
            left -= count
            if not left:
                before_last()
            yield buffer[:count]
        if not length:
            before_last()

    def whole(self, length: int) -> memoryview:
        """All `length` bytes of the source, in memory of their own."""
        room, filled = memoryview(bytearray(length)), 0
        while filled < length:
            count = self.read(room[filled:])
            self._check_promise(count)
            filled += count
        return room

    def expect_end(self) -> None:
        """Raises `Temporary` unless the source is at its end, with as much as it promised."""
        if not self._ended and self.read(memoryview(bytearray(1))):
            raise Temporary(f"the source sent more than it promised{self._promise}")
        self._ended = True

    def _check_promise(self, count: int) -> None:
        if not count:
            raise Temporary(f"the source ended early, after {self.bytes} bytes{self._promise}")

    @property
    def _promise(self) -> str:
        return "" if self.length is None else f" (it promised {self.length})"


class Window:
    """Cuts a source of unknown length into parts of equal size, each whole in memory.

    It reads a little ahead, so that it knows of each part whether it is the last one.
    """

    def __init__(self, intake: Intake, *, part_size: int, block: int) -> None:
        self._intake = intake
        self._part_size = part_size
        self._block = block
        # not from the heap, which would keep as many of these as there are threads
        self._buffer = memoryview(mmap(-1, part_size + block))
        self._filled = 0
        self.ended = False

    def parts(self) -> Iterator[memoryview]:
        """All parts in order; each is gone with the next. `ended` is true from the last one on."""
        while not self.ended:
            self._fill()
            part = self._buffer[: min(self._filled, self._part_size)]
            yield part
            self._drop(len(part))

    def _fill(self) -> None:
        while self._filled <= self._part_size:
            count = self._intake.read(self._buffer[self._filled :][: self._block])
            self._filled += count
            if not count:
                self.ended = True
                return

    def _drop(self, count: int) -> None:
        ahead = self._filled - count
        self._buffer[:ahead] = self._buffer[count : self._filled]
        self._filled = ahead


def slices(
    part: memoryview, block: int, *, before_last: Callable[[], None] = nothing
) -> Iterator[memoryview]:
    """A part in blocks; calls `before_last` before it gives the last of them."""
    last = max(len(part) - 1, 0) // block * block
    for start in range(0, last, block):
        yield part[start : start + block]
    before_last()
    yield part[last:]
