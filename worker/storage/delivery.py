"""The side of a transfer that the bytes go to: one object, in one request or in parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from worker.errors import Outage, Permanent, Temporary, WorkError
from worker.storage.bodies import Body
from worker.storage.bucket import Bucket
from worker.storage.limits import LONGEST_VALIDITY
from worker.storage.line import Line, Receipt

MOST_PARTS = 10_000
# A request may have to wait for its turn.
TIME_TO_VERIFY = 900


@dataclass(frozen=True)
class Delivery:
    """Puts one object into a store. `ends_at`: no request begins after it (monotonic clock)."""

    store: Bucket
    key: str
    line: Line
    content_type: str
    cache_control: str | None
    ends_at: float

    def single(self, body: Body) -> Receipt:
        """Sends the object in one request."""
        headers = {"Content-Length": str(body.length), "Content-Type": self.content_type}
        if self.cache_control:
            headers["Cache-Control"] = self.cache_control
        url = self.store.presign_put(self.key, expires_in=self._left(), headers=headers)
        return self.line.put(url, headers, body)

    def multipart(self, parts: Iterable[Body], finish: Callable[[], None]) -> Receipt:
        """Sends the object in parts, and calls `finish` before it becomes visible.

        Whatever goes wrong, the upload does not stay open; where the storage does not even take
        the abort, a note on the error says so.
        """
        upload_id = self.store.create_multipart(
            self.key, content_type=self.content_type, cache_control=self.cache_control
        )
        try:
            etags = [self._part(upload_id, number, part) for number, part in enumerate(parts, 1)]
            self.store.throttle.acquire_ahead()
            finish()
            etag = self.store.complete_multipart(self.key, upload_id, etags)
            return Receipt(etag, proven=False)
        except BaseException as error:
            self._abort(upload_id, error)
            raise

    def verify(self, size: int) -> None:
        """Raises `Outage` unless the storage holds an object of `size` bytes at the key."""
        found = self.line.size(self.store.presign_head(self.key, expires_in=TIME_TO_VERIFY))
        if found != size:
            service = self.store.target.service
            raise Outage(service, f"{service}: stored {found} bytes of {size} that were sent")

    def _part(self, upload_id: str, number: int, part: Body) -> str:
        if number > MOST_PARTS:
            raise Permanent(f"the file needs more than {MOST_PARTS} parts: it is too large")
        headers = {"Content-Length": str(part.length)}
        url = self.store.presign_part(
            self.key, upload_id, number, expires_in=self._left(), headers=headers
        )
        return self.line.put(url, headers, part).etag

    def _left(self) -> int:
        left = self.ends_at - time.monotonic()
        if left < 1:
            raise Temporary("the transfer took too long: its time was over before its end")
        return min(int(left), LONGEST_VALIDITY)

    def _abort(self, upload_id: str, error: BaseException) -> None:
        try:
            self.store.abort_multipart(self.key, upload_id)
        except WorkError as second:
            error.add_note(f"A multipart upload of {self.key} stays open: {second}")
