"""Where a body ends: after a counted length, after its last chunk, or when the line is closed."""

from __future__ import annotations

import io
import re
from typing import Protocol

from worker.download.transport import Broken

_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_LINE_LIMIT = 4096


class Framing(Protocol):
    """Reads one body; `sure` says whether its end proves that it is complete."""

    sure: bool

    def readinto(self, buffer: memoryview) -> int:
        """Read what one receive gives; 0 only at the end. Raises Broken when it is cut short."""


class Counted:
    """A body of a length that was told; what a server sends beyond it is never read."""

    sure = True

    def __init__(self, source: io.BufferedReader, length: int) -> None:
        self._source = source
        self._left = length

    def readinto(self, buffer: memoryview) -> int:
        if not self._left:
            return 0
        size = self._source.readinto1(buffer[: self._left])
        if not size:
            raise Broken(f"the connection was closed {self._left} bytes before the end")
        self._left -= size
        return size


class Chunked:
    """A body in chunks; only the chunk of size zero ends it."""

    sure = True

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self._left = 0
        self._inside = False
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:
        if not self._left and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        size = self._source.readinto1(buffer[: self._left])
        if not size:
            raise Broken("the connection was closed within a chunk")
        self._left -= size
        return size

    def _next_chunk(self) -> None:
        if self._inside and self._line() != b"":
            raise Broken("a chunk is longer than it says")
        size = self._line().partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise Broken("a chunk has no readable size")
        self._left = int(size, 16)
        self._inside = True
        self._ended = not self._left

    def _line(self) -> bytes:
        line = self._source.readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            raise Broken("the connection was closed between chunks")
        return line.rstrip(b"\r\n")


class UntilClosed:
    """A body without length and chunks: whether its end is the whole can only be guessed."""

    sure = False

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source

    def readinto(self, buffer: memoryview) -> int:
        return self._source.readinto1(buffer)
