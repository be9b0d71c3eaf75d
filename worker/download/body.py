"""A response body that is read to its proven end, over as many connections as that takes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from types import TracebackType

from worker.download.answers import (
    changed,
    check_continuation,
    check_encoding,
    content_length,
    framing_of,
    media_type,
    strong_etag,
    transfer_codings,
)
from worker.download.connection import Answer, Caller
from worker.download.framing import Framing
from worker.download.gate import HostGate
from worker.download.transport import Broken, TransportError
from worker.errors import Permanent, Temporary

# A block is handed over after this time even if it is not full, so that whoever passes it on
# does not look idle to the other side.
_HAND_OVER_AFTER = 0.5


class Body:
    """The bytes of one file at its provider. Close it, or use it as a context manager.

    `length` is what the provider told, in bytes; `content_type` is only its claim; `received`
    counts the bytes that came so far. Reading raises Temporary (cut off and not resumable, too
    slow, past the deadline, changed) and Permanent (over the cap, empty).
    """

    def __init__(self, caller: Caller, answer: Answer, *, gate: HostGate) -> None:
        self.host = caller.target.host
        self.length = content_length(answer.headers, host=self.host)
        self.content_type = media_type(answer.headers)
        self.received = 0
        self._caller = caller
        self._gate = gate
        self._held = ExitStack()
        self._answer: Answer | None = answer
        self._framing = self._first_framing(answer)
        self._etag = strong_etag(answer.headers)
        self._total = self.length
        self._resumes = 0
        self._ahead = bytearray()
        self._hung = False

    @property
    def etag(self) -> str | None:
        """The ETag, quotes included, if it promises the same bytes (a strong one)."""
        return self._etag

    def peek(self, size: int) -> bytes:
        """Return the first `size` bytes that were not read yet; fewer only at the end."""
        while len(self._ahead) < size:
            block = memoryview(bytearray(size - len(self._ahead)))
            count = self._fill(block)
            if not count:
                break
            self._ahead += block[:count]
        return bytes(self._ahead[:size])

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` with the next bytes; returns their number, 0 only at the proven end."""
        if not self._ahead:
            return self._fill(buffer)
        count = min(len(buffer), len(self._ahead))
        buffer[:count] = self._ahead[:count]
        del self._ahead[:count]
        return count

    def ended_surely(self) -> bool:
        """Whether the end proves that the body is complete.

        False for a body with neither length nor chunks: its end is only a closed connection.
        """
        return self._framing.sure

    def hold(self, held: ExitStack) -> None:
        """Release `held` when the body is closed."""
        self._held = held

    def close(self) -> None:
        """Give the connection back. The host did answer if it sent anything and never failed."""
        self._drop_answer()
        if self.received and not self._hung:
            self._gate.succeeded(self.host)
        self._held.close()

    def __enter__(self) -> Body:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _first_framing(self, answer: Answer) -> Framing:
        check_encoding(answer, host=self.host)
        if self.length == 0:
            raise _empty(self.host)
        self._check_cap(self.length or 0)
        return framing_of(answer, length=self.length, host=self.host)

    def _fill(self, buffer: memoryview) -> int:
        try:
            with self._gate.watch(self.host):
                return self._fill_for_a_while(buffer)
        except Temporary:
            self._hung = True
            raise

    def _fill_for_a_while(self, buffer: memoryview) -> int:
        filled = 0
        begun = time.monotonic()
        while filled < len(buffer):
            count = self._counted(self._read(buffer[filled:]))
            filled += count
            if not count or time.monotonic() - begun > _HAND_OVER_AFTER:
                break
        return filled

    def _read(self, buffer: memoryview) -> int:
        while True:
            try:
                if self._answer is None:
                    self._resume()
                return self._framing.readinto(buffer)
            except Broken as error:
                self._prepare_resume(error)

    def _prepare_resume(self, error: Broken) -> None:
        self._drop_answer()
        if self._etag is None:
            raise TransportError(f"{error}, and a file without strong ETag is not resumed")
        if self._resumes >= self._caller.policy.max_resumes:
            raise TransportError(f"{error}, after {self._resumes} resumes")
        self._resumes += 1

    def _resume(self) -> None:
        etag = self._etag or ""
        self._answer = self._caller.ask({"Range": f"bytes={self.received}-", "If-Range": etag})
        self._total = check_continuation(
            self._answer, host=self.host, offset=self.received, total=self._total, etag=etag
        )
        check_encoding(self._answer, host=self.host)
        self._check_cap(self._total)
        self._framing = self._next_framing(self._answer)

    def _next_framing(self, answer: Answer) -> Framing:
        length = content_length(answer.headers, host=self.host)
        if length is None and not transfer_codings(answer.headers):
            length = (self._total or 0) - self.received
        return framing_of(answer, length=length, host=self.host)

    def _counted(self, count: int) -> int:
        self.received += count
        self._check_cap(self.received)
        if not count:
            self._check_end()
        return count

    def _check_end(self) -> None:
        if not self.received:
            raise _empty(self.host) if self._framing.sure else Broken("it closed without a byte")
        if self._total not in (None, self.received):
            raise changed(self.host)

    def _check_cap(self, size: int) -> None:
        limit = self._caller.policy.max_bytes
        if size > limit:
            raise Permanent(f"the file at {self.host} is larger than the limit of {limit} bytes")

    def _drop_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def _empty(host: str) -> Permanent:
    return Permanent(f"{host} sends an empty file, which is refused")
