"""What an object storage's refusals mean: which kind of error, and what to do about it."""

from __future__ import annotations

import re
import ssl
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from socket import gaierror
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from worker.errors import Busy, Gone, Outage, Permanent, Temporary, WorkError
from worker.storage.config import StorageTarget

LONGEST_RETRY_AFTER = 3600.0
# Where `Refusal.throttled` is noted in boto3's form of an answer.
THROTTLED = "Throttled"

_CLOCK = "set this machine's clock right"
_REGION = "check {PLACE}"
_ADVICE = {
    "InvalidAccessKeyId": "check {ACCESS_KEY_ID}",
    "SignatureDoesNotMatch": "check {SECRET_ACCESS_KEY}",
    "AccessDenied": "let the key of {ACCESS_KEY_ID} read, write, list and delete in the bucket",
    "Unauthorized": "check {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}",
    "InvalidToken": "check {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}",
    "ExpiredToken": "check {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}",
    "NoSuchBucket": "create the bucket, or correct the setting that names it",
    "InvalidBucketName": "correct the setting that names the bucket",
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "ExpiredRequest": _CLOCK,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AuthorizationQueryParametersError": _REGION,
}
_PERMANENT = {
    "EntityTooLarge": "the file is larger than the storage takes: raise its limit",
    "InvalidMimeType": "the bucket takes no files of this type: allow it in the bucket's settings",
    "KeyTooLongError": "the object key is too long",
    "InvalidKey": "the storage does not take this object key",
}
_BY_STATUS = {401: "Unauthorized", 403: "AccessDenied", 413: "EntityTooLarge"}
# The storage waited in vain for bytes of ours (the source stalls), or another run interfered.
_TEMPORARY = {"RequestTimeout", "NoSuchUpload", "OperationAborted", "ConditionalRequestConflict"}
_SLOW_DOWN = {
    "SlowDown", "SlowDownRead", "SlowDownWrite", "TooManyRequests", "RequestLimitExceeded",
    "Throttling", "ThrottlingException",
}  # fmt: skip
# Until a request is tried again that a storage had no room for, in seconds.
_WHILE_SLOWED = 3.0

_TOO_SLOW = (TimeoutError, ReadTimeoutError, ConnectTimeoutError)
_CUT = (
    ConnectionError, HTTPException, ConnectionClosedError, IncompleteReadError,
    ResponseStreamingError,
)  # fmt: skip


class NoSuchObject(Gone, LookupError):
    """Nothing is stored at the key."""


class Refused(Outage):
    """An outage that only a person ends: a setting or a right is wrong."""


class Throttled(Busy):
    """The storage asks for fewer requests, and gets fewer."""


@dataclass(frozen=True)
class Refusal:
    """An error answer: HTTP status, S3's error code and message, and seconds to wait.

    `throttled`: fewer requests are sent from now on, which is expected to help.
    """

    status: int
    code: str = ""
    message: str = ""
    retry_after: float | None = None
    throttled: bool = False

    @property
    def is_slow_down(self) -> bool:
        """Whether it asks for fewer requests."""
        # an answer to HEAD has no body that could explain a 503
        unexplained = self.status == 503 and not self.name
        return self.status == 429 or unexplained or self.name in _SLOW_DOWN

    @property
    def name(self) -> str:
        return self.code if self.code and not self.code.isdigit() else ""


@contextmanager
def translated(target: StorageTarget) -> Iterator[None]:
    """Turns what boto3 raises into the error kinds."""
    try:
        yield
    except ClientError as error:
        raise judge(target, refusal_of(error)) from error
    except ParamValidationError as error:
        # Keys are checked before: what is left for boto3 to find is the bucket's name.
        said = f"{target.service}: {target.bucket!r} cannot be the name of a bucket"
        raise _refused(target, said, _ADVICE["InvalidBucketName"]) from error
    except BotoCoreError as error:
        raise unreachable(target, error) from error


def judge(target: StorageTarget, refusal: Refusal) -> WorkError:
    """The error that an error answer stands for."""
    name = refusal.name or _BY_STATUS.get(refusal.status, "")
    said = f"{target.service}: {_where(target)} answered {refusal.status} {name}".rstrip()
    if name == "NoSuchKey":
        return NoSuchObject(f"{said}: there is no such object")
    if name in _PERMANENT:
        return Permanent(f"{said}: {_PERMANENT[name]}")
    if name in _ADVICE or refusal.status in (401, 403):
        return _refused(target, said, _ADVICE.get(name, _ADVICE["AccessDenied"]))
    if refusal.throttled:
        delay = max(refusal.retry_after or _WHILE_SLOWED, 1.0)
        return Throttled(said + _quoted(refusal), retry_after=delay)
    if refusal.status >= 500 or refusal.status == 429:
        return Outage(target.service, said + _quoted(refusal), retry_after=refusal.retry_after)
    if refusal.status < 400 or (refusal.status == 404 and name not in _TEMPORARY):
        return _refused(target, said, _REGION)
    return Temporary(said + _quoted(refusal), retry_after=refusal.retry_after)


def refusal_of(error: ClientError) -> Refusal:
    """What boto3 read from an error answer."""
    return refusal_in(error.response)


def refusal_in(response: Mapping[str, Any]) -> Refusal:
    """The same, from boto3's form of the answer."""
    details = response.get("Error", {})
    answer = response.get("ResponseMetadata", {})
    return Refusal(
        int(answer.get("HTTPStatusCode", 0)) or 500,
        str(details.get("Code", "")),
        str(details.get("Message", "")),
        _retry_after(answer.get("HTTPHeaders", {}).get("retry-after")),
        bool(answer.get(THROTTLED)),
    )


def read_refusal(status: int, headers: Message, body: bytes) -> Refusal:
    """What an error answer to a presigned request says."""
    code = message = ""
    # No declarations: an answer of this kind has none, and they are what makes XML dangerous.
    if b"<Error" in body and b"<!" not in body:
        try:
            root = ElementTree.fromstring(body)  # noqa: S314
            code, message = root.findtext("Code", ""), root.findtext("Message", "")
        except ElementTree.ParseError:
            pass
    return Refusal(status, code, message, _retry_after(headers.get("Retry-After")))


def unreachable(target: StorageTarget, error: Exception) -> Outage:
    """The outage that a failed connection stands for."""
    reason = f"{target.service}: {target.host} {_reason(error)}"
    if target.is_public_url:
        return _refused(target, reason, _REGION)
    return Outage(target.service, f"{reason}; if that lasts, check {target.setting('ENDPOINT')}")


def _refused(target: StorageTarget, said: str, advice: str) -> Refused:
    if target.is_public_url:
        advice = (
            "an address on r2.dev is a public URL, not an API endpoint: "
            "set {ENDPOINT} to https://<account id>.r2.cloudflarestorage.com"
        )
    names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "ENDPOINT")
    settings = {name: target.setting(name) for name in names}
    settings["PLACE"] = target.place_settings
    return Refused(target.service, f"{said}: {advice.format(**settings)}")


def _where(target: StorageTarget) -> str:
    return f"{target.host}/{target.bucket}"


def _quoted(refusal: Refusal) -> str:
    """The storage's own words, without anything that might be a signed URL."""
    words = re.sub(r"\S*[?&=]\S*", "…", " ".join(refusal.message.split()))[:200]
    return f": {words}" if words else ""


def _reason(error: Exception) -> str:
    if isinstance(error, gaierror):
        return "does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that does not verify ({error.verify_message})"
    if isinstance(error, _TOO_SLOW):
        return "did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(error, _CUT):
        return "cut the connection"
    return f"is not reachable ({type(error).__name__})"


def _retry_after(value: str | None) -> float | None:
    if not value:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else _seconds_until(value)
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def _seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
