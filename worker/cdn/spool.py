"""Files on their way to several targets: read from their source once, onto this machine's disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from worker.download import Content, EndProof, recognise
from worker.errors import Busy, ClaimLost, Permanent, Temporary
from worker.storage import Source

BLOCK = 256 * 1024
# How long work is put off when the disk has no room: other work has to end first.
DISK_PAUSE = 30.0


@dataclass(frozen=True)
class Spooled:
    """A file that was read to its end. It is on disk without a name, as long as it is in use."""

    length: int
    sha256: str
    md5: str
    content_type: str
    source_hash: str
    _scratch: Scratch

    def open(self) -> Source:
        """The bytes from their beginning; any number of readers at once."""
        return _Reader(self._scratch, self.length)


class Spooling:
    """One source that is being read into a file. `run` blocks; `stop` ends it from outside.

    `most` bytes are taken; `host` is for messages; `sure_end` is false where the source's end
    does not prove that it is whole: then the content has to.
    """

    def __init__(self, source: Source, *, host: str, most: int, sure_end: bool = True) -> None:
        self._source = source
        self._host = host
        self._most = most
        self._sure_end = sure_end
        self._stopped = Event()
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._length = 0
        self._buffer = memoryview(bytearray(BLOCK))

    def run(self, source_hash: Callable[[str], str]) -> Spooled:
        """Read all of it; `source_hash` makes of its sha256 what the ledger keeps.

        Raises the source's errors, `Permanent` for what is no audio or too long, `Temporary` for
        what is not whole, and `Busy` when the disk does not take it.
        """
        scratch = Scratch()
        content = recognise(lambda size: self._peek(scratch, size), role="audio")
        self._copy_rest(scratch, self._proof(scratch, content))
        sha256 = self._sha256.hexdigest()
        return Spooled(
            self._length, sha256, self._md5.hexdigest(), content.mime, source_hash(sha256), scratch
        )

    def stop(self) -> None:
        """Have `run` raise `ClaimLost` soon."""
        self._stopped.set()

    def _peek(self, scratch: Scratch, size: int) -> bytes:
        while self._length < size and self._copy_block(scratch):
            pass
        return scratch.read(size)

    def _proof(self, scratch: Scratch, content: Content) -> EndProof | None:
        if self._sure_end:
            return None
        proof = EndProof(content)
        proof.feed(scratch.read(self._length))
        return proof

    def _copy_rest(self, scratch: Scratch, proof: EndProof | None) -> None:
        while block := self._copy_block(scratch):
            if proof is not None:
                proof.feed(block)
        self._check_end(proof)

    def _copy_block(self, scratch: Scratch) -> memoryview:
        if self._stopped.is_set():
            raise ClaimLost("the run was stopped")
        block = self._buffer[: self._source.readinto(self._buffer)]
        scratch.write(block)
        self._sha256.update(block)
        self._md5.update(block)
        self._length += len(block)
        if self._length > self._most:
            raise too_long(self._host, self._most)
        return block

    def _check_end(self, proof: EndProof | None) -> None:
        promised = self._source.length
        if promised not in (None, self._length):
            raise Temporary(f"{self._host} sent {self._length} bytes of {promised}")
        if proof is not None and not proof.complete():
            raise Temporary(
                f"{self._host} closed the connection without saying that the file is complete"
            )


class Scratch:
    """A file without a name. It is gone when nobody holds this object any more.

    A thread that is still reading when its run has been given up holds it too: the descriptor
    never means another file under its hands. Raises `Busy` when the disk does not take part.
    """

    def __init__(self) -> None:
        with _disk():
            self._descriptor, path = tempfile.mkstemp(prefix="media-worker-")
            weakref.finalize(self, os.close, self._descriptor)
            with suppress(FileNotFoundError):
                Path(path).unlink()

    def write(self, block: memoryview) -> None:
        """Append all of it."""
        with _disk():
            while block:
                block = block[os.write(self._descriptor, block) :]

    def read(self, size: int) -> bytes:
        """The first bytes."""
        with _disk():
            return os.pread(self._descriptor, size, 0)

    def readinto(self, buffer: memoryview, at: int) -> int:
        """Bytes from `at` on; returns their number."""
        with _disk():
            return os.preadv(self._descriptor, [buffer], at)


def too_long(where: str, most: int) -> Permanent:
    """What is said of a file over the limit."""
    return Permanent(
        f"the file at {where} is larger than {most} bytes: shorten it, or raise CDN_MAX_BYTES"
    )


class _Reader:
    """A spooled file as a `Source`; it can be read again from its beginning."""

    def __init__(self, scratch: Scratch, length: int) -> None:
        self.length = length
        self._scratch = scratch
        self._at = 0

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._scratch.readinto(buffer, self._at)
        self._at += count
        return count

    def rewind(self) -> None:
        """Begin anew."""
        self._at = 0


@contextmanager
def _disk() -> Iterator[None]:
    """What the disk refuses passes: nothing is wrong with the work."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Busy(
            f"{_place()} does not take a file ({reason}): make room there, or set TMPDIR",
            retry_after=DISK_PAUSE,
        ) from error


def _place() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        # it is looked for by writing: while all disks are full there is none
        return "this machine's disk"
