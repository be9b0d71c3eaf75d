"""What the local provider sends: files of the package, and audio generated while it is sent."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Protocol

BLOCK = 64 * 1024

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "jpg": "image/jpeg",
    "png": "image/png",
    "mp4": "video/mp4",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
}

# MPEG-1 layer III, 128 kbit/s, 44.1 kHz, stereo: 417 bytes for 1152 samples. With empty side
# information a frame decodes to silence, whatever the ancillary bytes behind it are.
FRAME_BYTES = 417
FRAME_HEADER = bytes((0xFF, 0xFB, 0x90, 0x00))
SIDE_INFORMATION = bytes(32)
FRAMES_IN_PATTERN = 512


class Body(Protocol):
    """Something to send; `size` in bytes, None for one that never ends."""

    @property
    def size(self) -> int | None: ...

    @property
    def content_type(self) -> str: ...

    @property
    def etag(self) -> str:
        """A strong ETag, quotes included."""
        ...

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in blocks of any size."""
        ...


@dataclass(frozen=True)
class Bytes:
    """A body in memory."""

    content: bytes
    content_type: str = "application/octet-stream"

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        for position in range(start, end, BLOCK):
            yield self.content[position : min(position + BLOCK, end)]


@dataclass(frozen=True)
class GeneratedMp3:
    """Valid MP3 frames of silence: `size` bytes that depend on `seed`, none kept in memory.

    A size of None never ends. The last frame is cut where the size says so.
    """

    seed: int
    size: int | None
    content_type: str = "audio/mpeg"

    @property
    def etag(self) -> str:
        return f'"generated-{self.seed}-{self.size}"'

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        pattern = _pattern(self.seed)
        end = min((edge for edge in (self.size, stop) if edge is not None), default=None)
        position = start
        while end is None or position < end:
            offset = position % len(pattern)
            length = min(BLOCK, len(pattern) - offset, BLOCK if end is None else end - position)
            yield pattern[offset : offset + length]
            position += length


def media(name: str) -> Bytes:
    """A file of the package: `melody.mp3`, `cover.jpg`, `clip.mp4` and others.

    Raises `FileNotFoundError` for a name that is not among them.
    """
    if name not in media_names():
        raise FileNotFoundError(f"there is no media file {name}; there are {media_names()}")
    content = (_directory() / name).read_bytes()
    return Bytes(content, CONTENT_TYPES[name.rpartition(".")[2]])


def media_names() -> list[str]:
    """The names that `media` knows."""
    known = tuple(f".{extension}" for extension in CONTENT_TYPES)
    return sorted(entry.name for entry in _directory().iterdir() if entry.name.endswith(known))


def sha256(body: Body) -> str:
    """The hash of a whole body, in hex, without holding it in memory."""
    digest = hashlib.sha256()
    for block in body.blocks():
        digest.update(block)
    return digest.hexdigest()


def _directory() -> Traversable:
    return resources.files("worker.demo") / "media"


def _pattern(seed: int) -> bytes:
    noise = random.Random(seed)  # noqa: S311 - reproducible, not secret
    ancillary = FRAME_BYTES - len(FRAME_HEADER) - len(SIDE_INFORMATION)
    return b"".join(
        FRAME_HEADER + SIDE_INFORMATION + noise.randbytes(ancillary)
        for _ in range(FRAMES_IN_PATTERN)
    )
