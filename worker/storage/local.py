"""What people hand over to be stored, bytes, a file or a stream, as the source of a transfer."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

Material = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


def no_progress(_count: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class LocalSource:
    """Bytes of this machine: a `Source`. `filename` is empty where there is none.

    `progress` is told of every read how many bytes it gave.
    """

    stream: Any
    length: int | None
    filename: str
    progress: Callable[[int], None]

    def readinto(self, buffer: memoryview, /) -> int:
        """Fills the front of the buffer and returns how much of it; 0 at the end."""
        count = self._fill(buffer)
        self.progress(count)
        return count

    def _fill(self, buffer: memoryview) -> int:
        if hasattr(self.stream, "readinto"):
            count: int | None = self.stream.readinto(buffer)
        else:
            data = self.stream.read(len(buffer))
            count = None if data is None else len(data)
            buffer[:count] = data or b""
        if count is None:
            raise BlockingIOError("the stream has nothing to read yet: use a blocking one")
        return count


@contextmanager
def opened(
    material: Material, *, progress: Callable[[int], None] = no_progress
) -> Iterator[LocalSource]:
    """The material, ready to be read from where it stands. A file is closed afterwards.

    Raises `OSError` for a file that cannot be read, `TypeError` for what has no bytes.
    """
    if isinstance(material, bytes | bytearray | memoryview):
        yield LocalSource(io.BytesIO(material), memoryview(material).nbytes, "", progress)
    elif isinstance(material, str | os.PathLike):
        with closing(Path(material).open("rb", buffering=0)) as file:
            yield LocalSource(file, _size(file), Path(material).name, progress)
    else:
        _check_binary(material)
        yield LocalSource(material, _rest(material), _name(material), progress)


def _size(file: io.FileIO) -> int | None:
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _check_binary(stream: object) -> None:
    readable = hasattr(stream, "readinto") or hasattr(stream, "read")
    if not readable or isinstance(stream, io.TextIOBase):
        raise TypeError("bytes, a path or a binary stream can be stored, nothing else")


def _rest(stream: Any) -> int | None:
    """The bytes from the stream's position to its end, where it can tell."""
    seekable = getattr(stream, "seekable", None)
    if seekable is None or not seekable():
        return None
    position: int = stream.tell()
    end: int = stream.seek(0, os.SEEK_END)
    stream.seek(position)
    return max(end - position, 0)


def _name(stream: object) -> str:
    name = getattr(stream, "name", None)
    return PurePath(name).name if isinstance(name, str) else ""
