"""Sends notifications, or keeps them for somebody to send later, in another order, or never."""

from __future__ import annotations

import http.client
import queue
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.demo.cloudinary.journal import Change
from worker.demo.cloudinary.notices import Notification, Writer

SEND_TIMEOUT = 10.0  # seconds
STOP_TIMEOUT = 5.0


@dataclass(frozen=True)
class Delivery:
    """An attempt; `status` is None where no answer came. It is not tried again."""

    url: str
    notification: Notification
    status: int | None


class Outbox:
    """`url` is the account's notification URL, None for none.

    Every notification is kept in `all`, sent or not. What a call's own `notification_url`
    names gets that call's.
    """

    def __init__(self, writer: Writer, url: str | None = None) -> None:
        self.url = url
        self.sign = writer.sign
        self._writer = writer
        self._lock = threading.Lock()
        self._all: list[Notification] = []
        self._held: list[tuple[str, Notification]] | None = None
        self._deliveries: list[Delivery] = []
        self._waiting: queue.Queue[tuple[str, Notification] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def all(self) -> list[Notification]:
        """Every notification that was written, oldest first."""
        with self._lock:
            return list(self._all)

    @property
    def deliveries(self) -> list[Delivery]:
        """What was sent where, and how it was answered."""
        with self._lock:
            return list(self._deliveries)

    def of(self, kind: str) -> list[Notification]:
        """The notifications of a type."""
        return [notification for notification in self.all if notification.kind == kind]

    def hold(self) -> None:
        """Send nothing until `release`."""
        with self._lock:
            self._held = [] if self._held is None else self._held

    def held(self) -> list[Notification]:
        """What waits for its release."""
        with self._lock:
            return [notification for _, notification in self._held or []]

    def release(self, order: Iterable[int] | None = None) -> None:
        """Send what is held: all of it, or those at these places in this order; end holding."""
        with self._lock:
            held, self._held = self._held or [], None
            places = range(len(held)) if order is None else order
            for place in places:
                self._enqueue(*held[place])

    def clear(self) -> None:
        """Forget everything that was written and sent; hold nothing."""
        with self._lock:
            self._all.clear()
            self._deliveries.clear()
            self._held = None

    def tell(self, change: Change) -> None:
        """Write the notification of a change, and send it where it belongs."""
        notification = self._writer.about(change)
        urls = dict.fromkeys(filter(None, (self.url, change.origin.notification_url)))
        with self._lock:
            self._all.append(notification)
            for url in urls:
                if self._held is None:
                    self._enqueue(url, notification)
                else:
                    self._held.append((url, notification))

    def post(self, notification: Notification, url: str | None = None) -> int:
        """Send one now and return the status. Raises OSError where nobody answers."""
        address = url or self.url
        if not address:
            raise ValueError("there is no URL to send to")
        return _post(address, notification)

    def stop(self) -> None:
        """End sending; what is not sent yet stays so."""
        self._stopping.set()
        self._waiting.put(None)
        if self._thread:
            self._thread.join(STOP_TIMEOUT)

    def _enqueue(self, url: str, notification: Notification) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)
            self._thread.start()
        self._waiting.put((url, notification))

    def _run(self) -> None:
        while (item := self._waiting.get()) and not self._stopping.is_set():
            url, notification = item
            try:
                status: int | None = _post(url, notification)
            except (OSError, http.client.HTTPException):
                status = None
            with self._lock:
                self._deliveries.append(Delivery(url, notification, status))


def _post(url: str, notification: Notification) -> int:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ConnectionRefusedError("notifications go to this machine only")
    connection = http.client.HTTPConnection(parts.netloc, timeout=SEND_TIMEOUT)
    try:
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("POST", path, body=notification.body, headers=dict(notification.headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
