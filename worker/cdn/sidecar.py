"""The JSON beside a track's audio."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import NoReturn

from worker.cdn.model import StoredAt
from worker.errors import Permanent
from worker.storage import Source

MOST_BYTES = 4 * 1024 * 1024
CONTENT_TYPE = "application/json"


@dataclass(frozen=True)
class Sidecar:
    """A sidecar in memory, at once an `Original` and its `Goods`.

    `note` says why it is not the one that the row names; `awaited`: that one may yet come.
    """

    data: bytes
    note: str | None = None
    awaited: bool = False

    @property
    def stored(self) -> StoredAt | None:
        """It is in memory already."""
        return None

    @property
    def length(self) -> int:
        """In bytes."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def md5(self) -> str:
        """In hexadecimal digits."""
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    @property
    def source_hash(self) -> str:
        """Its own hash: wherever it comes from, it is in memory anyway."""
        return self.sha256

    async def is_still(self, source_hash: str) -> bool:
        """Whether it has that hash."""
        return source_hash == self.source_hash

    @property
    def content_type(self) -> str:
        """JSON."""
        return CONTENT_TYPE

    async def recognised(self) -> str:
        """Its content type."""
        return CONTENT_TYPE

    async def goods(self) -> Sidecar:
        """Itself."""
        return self

    def open(self) -> Source:
        """Its bytes from their beginning."""
        return _Bytes(self.data)


def checked_json(data: bytes) -> bytes:
    """The bytes themselves, when they are JSON by the letter, in UTF-8. Raises `Permanent`."""
    try:
        json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Permanent("is not valid JSON") from None
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


class _Bytes:
    """Bytes as a `Source`; they can be read again from their beginning."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = memoryview(data)
        self._at = 0

    def readinto(self, buffer: memoryview, /) -> int:
        block = self._data[self._at : self._at + len(buffer)]
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def rewind(self) -> None:
        """Begin anew."""
        self._at = 0
