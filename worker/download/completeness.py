"""Proves from a file's own structure that it is complete, where its transfer cannot.

A body that ends when the connection is closed looks the same whole and cut. Most media formats
say themselves where they end; for the others (FLAC, bare AAC and MP3 frames) there is no proof.
"""

from __future__ import annotations

from collections.abc import Callable

from worker.download import walks
from worker.download.content import Content
from worker.download.walks import Walk

# Small pieces without end would cost more time than a proof is worth.
_MOST_STEPS = 300_000
# Searching looks at so many bytes at a time, since it copies them.
_WINDOW = 4096

_WALKS: dict[str, Callable[[], Walk]] = {
    "aiff": walks.riff,
    "avif": walks.still,
    "gif": walks.gif,
    "heic": walks.still,
    "jpg": walks.jpeg,
    "m4a": walks.movie,
    "mkv": walks.matroska,
    "mov": walks.movie,
    "mp3": walks.mp3,
    "mp4": walks.movie,
    "ogg": walks.ogg,
    "opus": walks.ogg,
    "png": walks.png,
    "wav": walks.riff,
    "webm": walks.matroska,
    "webp": walks.riff,
}


class EndProof:
    """Walks through the structure of a file while its blocks pass by, in constant memory."""

    def __init__(self, content: Content) -> None:
        self._walk = _WALKS.get(content.extension, walks.unprovable)()
        self._piece = bytearray()
        self._passed = 0
        self._steps = 0
        self._verdict: bool | None = None
        self._want = walks.Want(0)
        self._advance(None)

    def feed(self, block: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file."""
        view = memoryview(block)
        while view and self._verdict is None:
            view = view[self._take(view) :]

    def complete(self) -> bool:
        """Whether what was fed is provably the whole file."""
        if self._verdict is not None:
            return self._verdict
        return self._want.may_end and (self._passed == 0 or self._want.anywhere)

    def _take(self, view: memoryview) -> int:
        """Serve the open want from `view`; returns how many bytes that took."""
        if self._want.until is not None:
            return self._seek(view, self._want.until)
        size = min(self._want.size - self._passed, len(view))
        if self._want.keep:
            self._piece += view[:size]
        self._passed += size
        if self._passed == self._want.size:
            self._advance(bytes(self._piece))
        return size

    def _seek(self, view: memoryview, until: bytes) -> int:
        near = bytes(view[:_WINDOW])
        found = near.find(until)
        if found < 0:
            return len(near)
        self._advance(b"")
        return found + len(until)

    def _advance(self, piece: bytes | None) -> None:
        """Give the walk what it wanted, until it wants something that is not there yet."""
        self._steps += 1
        try:
            self._want = self._walk.send(piece)
            while self._want.size == 0 and self._want.until is None:
                self._want = self._walk.send(b"")
        except StopIteration as stop:
            self._verdict = bool(stop.value)
        if self._steps > _MOST_STEPS:
            self._verdict = False
        self._piece.clear()
        self._passed = 0
