"""A file of this machine that is all there and known, on its way to any number of storages."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass
class SpooledFile:
    """A `Source` that nothing is computed of any more. Make one for each transfer.

    `file` is the descriptor of an open file of `length` bytes, which transfers share: each reads
    at a position of its own. `sha256` and `md5` are in hexadecimal digits.
    """

    file: int
    length: int
    sha256: str
    md5: str
    _position: int = field(default=0, init=False, repr=False)

    def fileno(self) -> int:
        """The descriptor."""
        return self.file

    def readinto(self, buffer: memoryview, /) -> int:
        """Fills the front of the buffer and returns how much of it; 0 at the end."""
        room = buffer[: self.length - self._position]
        count = os.preadv(self.file, [room], self._position) if room else 0
        self._position += count
        return count
