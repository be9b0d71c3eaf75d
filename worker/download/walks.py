"""The structure of media files, each as a generator that says which bytes it wants next.

A walk is sent the bytes that it asked for. It returns True once the file is complete whatever
follows, and False once it is clear that there is no proof.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from worker.download.mpeg_audio import end_of_tags, mp3_frame

_HEADERS_AFTER_SIZE = 8
_UNKNOWN_SIZE = 0xFFFFFFFF
_MOST_STREAMS = 64
# Tags that may follow the last frame of an MP3 without being counted by its first one.
_TRAILING_TAGS = 8 * 1024


@dataclass(frozen=True)
class Want:
    """The next `size` bytes, or all up to and with `until`.

    `keep`: the walk is sent them (else b""). `may_end`: the file is complete if nothing follows;
    with `anywhere` also if only a part of them does.
    """

    size: int
    keep: bool = True
    may_end: bool = False
    anywhere: bool = False
    until: bytes | None = None


Walk = Generator[Want, bytes | None, bool]
# A part of a walk, which gives the walk a value.
Bytes = Generator[Want, bytes | None, bytes]


def unprovable() -> Walk:
    """A format that does not say where it ends."""
    yield from ()
    return False


def riff() -> Walk:
    """WAV, WebP and AIFF: the size of all is in the first header."""
    header = yield from _take(_HEADERS_AFTER_SIZE + 4)
    size = int.from_bytes(header[4:8], "big" if header[:4] == b"FORM" else "little")
    if header[:4] == b"RF64":
        # The first chunk, ds64, has the real size behind its own header.
        chunk = yield from _take(16)
        size = int.from_bytes(chunk[8:16], "little") - 16
    elif size == _UNKNOWN_SIZE:
        return False
    if size <= 4:
        return False
    yield _skip(size - 4)
    if size & 1:
        yield Want(1, may_end=True)  # a byte of padding, which some leave out
    yield Want(1, may_end=True)
    return False


def movie() -> Walk:
    """MP4 and QuickTime: the index and the media; in fragments, only their own index ends them."""
    return _boxes(b"moov")


def still() -> Walk:
    """AVIF and HEIC: boxes as in a movie, with another index."""
    return _boxes(b"meta")


def ogg() -> Walk:
    """Pages; each stream ends with a page that says so."""
    running: set[bytes] = set()
    ended = False
    while len(running) <= _MOST_STREAMS:
        header = yield from _take(27, may_end=ended and not running)
        if header[:4] != b"OggS":
            return False
        flags, serial = header[5], header[14:18]
        running.add(serial)
        if flags & 4:
            running.discard(serial)
            ended = True
        yield _skip(sum((yield from _take(header[26]))))
    return False


def png() -> Walk:
    """Chunks up to IEND."""
    yield _skip(8)
    kind = b""
    while kind != b"IEND":
        header = yield from _take(8)
        kind = header[4:]
        yield _skip(int.from_bytes(header[:4], "big") + 4)
    return True


def gif() -> Walk:
    """Blocks up to the trailer."""
    header = yield from _take(13)
    yield _skip(_colour_table(header[10]))
    while True:
        introducer = yield from _take(1)
        if introducer == b"\x3b":
            return True
        if introducer == b"\x21":
            yield _skip(1)
        elif introducer == b"\x2c":
            descriptor = yield from _take(9)
            yield _skip(_colour_table(descriptor[8]) + 1)
        else:
            return False
        while size := (yield from _take(1))[0]:
            yield _skip(size)


def jpeg() -> Walk:
    """Segments up to the end of image; within a scan, 0xFF is escaped or a restart."""
    yield _skip(2)
    while True:
        yield Want(0, until=b"\xff")
        marker = (yield from _take(1))[0]
        while marker == 0xFF:
            marker = (yield from _take(1))[0]
        if marker == 0xD9:
            return True
        if marker != 0 and marker != 1 and not 0xD0 <= marker <= 0xD8:
            size = int.from_bytes((yield from _take(2)), "big")
            yield _skip(max(size - 2, 0))


def mp3() -> Walk:
    """The first frame may say how many bytes all frames have; some tags may follow them."""
    header = yield from _take(10)
    while (tag := end_of_tags(header)) > 0:
        yield _skip(tag - 10)
        header = yield from _take(10)
    frame = mp3_frame(header)
    if frame is None:
        return False
    rest = yield from _take(frame.side_info + 16 - 10)
    info = (header + rest)[frame.side_info :]
    has_frames, has_bytes = info[7] & 1, info[7] & 2
    if info[:4] not in (b"Xing", b"Info") or not has_bytes:
        return False
    at = 12 if has_frames else 8
    yield _skip(max(int.from_bytes(info[at : at + 4], "big") - frame.side_info - 16, 0))
    yield Want(_TRAILING_TAGS, keep=False, may_end=True, anywhere=True)
    return False


def matroska() -> Walk:
    """An EBML header and one segment, whose size is known unless it was streamed."""
    for element in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        if (yield from _take(4)) != element:
            return False
        first = yield from _take(1)
        width = 9 - first[0].bit_length()
        rest = yield from _take(width - 1)
        limit = 1 << 7 * width
        size = int.from_bytes(first + rest, "big") & (limit - 1)
        if width > 8 or size == limit - 1:
            return False
        yield _skip(size)
    yield Want(1, may_end=True)
    return False


def _boxes(index: bytes) -> Walk:
    seen: set[bytes] = set()
    while True:
        whole = {index, b"mdat"} <= seen and b"moof" not in seen
        header = yield from _take(8, may_end=whole or b"mfra" in seen)
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        left = size - 8
        if size == 1:
            left = int.from_bytes((yield from _take(8)), "big") - 16
        if left < 0:
            return False
        if kind in (index, b"mdat", b"moof", b"mfra"):
            seen.add(kind)
        yield _skip(left)


def _take(size: int, *, may_end: bool = False) -> Bytes:
    """The next `size` bytes."""
    if not size:
        return b""
    return (yield Want(size, may_end=may_end)) or b""


def _skip(size: int) -> Want:
    return Want(size, keep=False)


def _colour_table(flags: int) -> int:
    """The size of a GIF colour table, in bytes."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
