"""Notifications as they come in: verified, and stored before anything else is done."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from worker.queue.store import Caller, patiently

LARGEST_BODY = 1024 * 1024  # bytes
# Clocks differ a little.
FROM_FUTURE = 5.0  # seconds
ALGORITHMS = {40: hashlib.sha1, 64: hashlib.sha256}  # by the length of the signature


class NotAccepted(Exception):
    """A notification is refused; `status` is that of the HTTP answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Notification:
    """A notification whose signature and age are right."""

    body: str
    kind: str | None
    sent_at: datetime
    digest: bytes


def verify(
    body: bytes,
    *,
    timestamp: str | None,
    signature: str | None,
    secret: str,
    max_age: float = 300.0,
    clock: Callable[[], float] = time.time,
) -> Notification:
    """Check what came with the headers X-Cld-Timestamp and X-Cld-Signature.

    It must be signed with the account's `secret` over the raw body, at most `max_age` seconds
    old, and not from the future. Raises `NotAccepted`. A replay is found by `store`.
    """
    if len(body) > LARGEST_BODY:
        raise NotAccepted(413, f"the body is larger than {LARGEST_BODY} bytes")
    sent = _seconds(timestamp)
    _check_signature(body + str(timestamp).encode(), signature or "", secret)
    age = clock() - sent
    if age > max_age:
        raise NotAccepted(401, f"the notification is {age:.0f} s old, {max_age:.0f} s are allowed")
    if age < -FROM_FUTURE:
        raise NotAccepted(401, f"the notification is from the future, by {-age:.0f} s")
    text, kind = _read(body)
    digest = hashlib.sha256(body + b"\n" + str(timestamp).encode()).digest()
    return Notification(text, kind, datetime.fromtimestamp(sent, UTC), digest)


class Inbox:
    """Where notifications are kept; a worker applies them."""

    def __init__(self, database: Caller) -> None:
        self._database = database

    @patiently
    async def store(self, notification: Notification) -> UUID | None:
        """Keep it; None where it has come before. Its id is that of media_webhook_events."""
        rows = await self._database.call(
            "select media_worker.webhook_store(%s, %s, %s, %s) as id",
            (notification.digest, notification.kind, notification.body, notification.sent_at),
        )
        stored: UUID | None = rows[0]["id"]
        return stored

    @patiently
    async def refuse(self, error: NotAccepted) -> None:
        """Log one that was not accepted."""
        await self._database.call("select media_worker.webhook_refused(%s)", (str(error),))


async def receive(
    inbox: Inbox,
    body: bytes,
    *,
    timestamp: str | None,
    signature: str | None,
    secret: str,
    max_age: float = 300.0,
) -> UUID | None:
    """Verify and store a notification, logging a refusal; None for a replay.

    Raises `NotAccepted`.
    """
    try:
        accepted = verify(
            body, timestamp=timestamp, signature=signature, secret=secret, max_age=max_age
        )
    except NotAccepted as error:
        await inbox.refuse(error)
        raise
    return await inbox.store(accepted)


def _seconds(timestamp: str | None) -> int:
    if not timestamp or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise NotAccepted(401, "X-Cld-Timestamp is missing or no number of seconds")
    return int(timestamp)


def _check_signature(signed: bytes, signature: str, secret: str) -> None:
    algorithm = ALGORITHMS.get(len(signature))
    if algorithm is None:
        raise NotAccepted(401, "X-Cld-Signature is missing or no signature")
    expected = algorithm(signed + secret.encode()).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
        raise NotAccepted(401, "X-Cld-Signature does not fit: is CLOUDINARY_API_SECRET right?")


def _read(body: bytes) -> tuple[str, str | None]:
    try:
        text = body.decode()
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAccepted(400, "the body is no JSON") from error
    if not isinstance(read, dict) or "\0" in text:
        raise NotAccepted(400, "the body is no JSON object")
    kind = read.get("notification_type")
    return text, kind[:100].replace("\0", "") if isinstance(kind, str) else None
