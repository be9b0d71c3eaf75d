"""The bodies of requests: where their bytes are, and whether they can be sent once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from worker.storage.intake import Spooled, nothing, slices


@dataclass(frozen=True)
class Span:
    """A piece of an open file, which the kernel can send without our reading it."""

    file: int
    offset: int
    length: int


Block = memoryview | Span


class Body(Protocol):
    """`length` bytes; `md5` is theirs in hexadecimal digits, empty where it is not known before.

    What is `repeatable` gives its blocks as often as it is asked for them.
    """

    @property
    def length(self) -> int: ...
    @property
    def md5(self) -> str: ...
    @property
    def repeatable(self) -> bool: ...
    def blocks(self) -> Iterator[Block]: ...


@dataclass(frozen=True)
class Piped:
    """Bytes that come by once."""

    length: int
    pieces: Iterator[memoryview]
    md5: str = ""
    repeatable: bool = False

    def blocks(self) -> Iterator[Block]:
        """The pieces, each of which is gone with the next."""
        return self.pieces


@dataclass(frozen=True)
class Held:
    """Bytes in memory, sent in blocks of `block` bytes; `before_last` is called as it says."""

    content: memoryview
    block: int
    before_last: Callable[[], None] = nothing
    md5: str = ""
    repeatable: bool = True

    @property
    def length(self) -> int:
        return len(self.content)

    def blocks(self) -> Iterator[Block]:
        """Pieces of the memory itself."""
        return slices(self.content, self.block, before_last=self.before_last)


NO_BODY = Held(memoryview(b""), 1)


@dataclass(frozen=True)
class OnDisk:
    """A file, sent in spans of `block` bytes; `going_on` is called before each of them."""

    source: Spooled
    block: int
    going_on: Callable[[], None]
    before_last: Callable[[], None]
    repeatable: bool = True

    @property
    def length(self) -> int:
        return self.source.length

    @property
    def md5(self) -> str:
        return self.source.md5

    def blocks(self) -> Iterator[Block]:
        """All of the file from its beginning, wherever its position is."""
        file = self.source.fileno()
        for offset in range(0, self.length, self.block):
            self.going_on()
            left = self.length - offset
            if left <= self.block:
                self.before_last()
            yield Span(file, offset, min(left, self.block))
