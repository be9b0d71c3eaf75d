"""The bytes of a stored object, as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from worker.storage import failures
from worker.storage.bucket import ObjectInfo
from worker.storage.config import StorageTarget
from worker.storage.local import no_progress

BLOCK = 256 * 1024


class Download:
    """One object, read once and from front to back: whole with `read()`, or in blocks by
    iterating, or into a file with `save()`. Close it, or use it in a `with` statement.

    It is a `Source` too, to be sent on to another bucket. Reading raises `Outage` when the
    storage fails in the middle: a body that is cut short is never taken for the whole.
    """

    def __init__(self, target: StorageTarget, info: ObjectInfo, body: Any) -> None:
        self.info = info
        self._target = target
        self._body = body

    @property
    def length(self) -> int:
        """The size of the object in bytes."""
        return self.info.size

    def readinto(self, buffer: memoryview, /) -> int:
        """Fills the front of the buffer and returns how much of it; 0 at the end."""
        with failures.translated(self._target):
            count: int = self._body.readinto(buffer)
        return count

    def read(self, size: int = -1) -> bytes:
        """The next bytes, `size` at most; all that are left when it is negative."""
        with failures.translated(self._target):
            data: bytes = self._body.read(None if size < 0 else size)
        return data

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK):
            yield block

    def save(
        self, path: str | os.PathLike[str], *, progress: Callable[[int], None] = no_progress
    ) -> None:
        """Writes the object to a file, which is there only when it is whole.

        `progress` is told the bytes of every block. Raises `OSError` when the file cannot be
        written; what was at `path` before is then still there.
        """
        place = Path(path)
        beside = place.with_name(f".{uuid4().hex}.part")
        try:
            with beside.open("xb") as file:
                for block in self:
                    file.write(block)
                    progress(len(block))
            beside.replace(place)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Ends the download, wherever it is."""
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()
