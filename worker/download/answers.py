"""What a response's status and headers mean for a download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage

from worker.download.connection import Answer
from worker.download.framing import Chunked, Counted, Framing, UntilClosed
from worker.errors import Gone, Permanent, Temporary, WorkError

_LONGEST_RETRY_AFTER = 6 * 60 * 60.0
_GONE = frozenset({403, 404, 410, 451})
_TRY_AGAIN = frozenset({202, 408, 425, 429})
_EMPTY = frozenset({204, 205})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DIGITS = re.compile(r"[0-9]+")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)


def redirect_of(answer: Answer) -> str | None:
    """Where the answer sends on to; None if it does not."""
    if answer.status not in _REDIRECTS:
        return None
    return answer.headers.get("Location")


def check_status(answer: Answer, *, host: str) -> None:
    """Raise what any status but success means."""
    if answer.status not in (200, 203):
        raise _meaning(answer, host)


def check_encoding(answer: Answer, *, host: str) -> None:
    """Raise Permanent for a body that is not sent as it is."""
    encodings = _tokens(answer.headers, "Content-Encoding") - {"identity"}
    if encodings:
        raise Permanent(f"{host} sends the file in an encoding that was not asked for: refused")


def content_length(headers: HTTPMessage, *, host: str) -> int | None:
    """The length that was told, in bytes; None where the body is framed otherwise.

    Raises Temporary where it is told in two ways, since the end could then not be trusted.
    """
    if transfer_codings(headers):
        return None
    told = _tokens(headers, "Content-Length")
    if not told:
        return None
    length = told.pop()
    if told or not _DIGITS.fullmatch(length) or len(length) > 18:
        raise Temporary(f"{host} sends no readable Content-Length")
    return int(length)


def framing_of(answer: Answer, *, length: int | None, host: str) -> Framing:
    """How the answer's body ends; raises Permanent for a transfer coding that nobody asked for."""
    codings = transfer_codings(answer.headers)
    if codings == {"chunked"}:
        return Chunked(answer.source)
    if codings:
        raise Permanent(f"{host} sends the file in a transfer coding that was not asked for")
    return UntilClosed(answer.source) if length is None else Counted(answer.source, length)


def transfer_codings(headers: HTTPMessage) -> set[str]:
    """How the body is wrapped on the way; empty if it is sent as it is."""
    return _tokens(headers, "Transfer-Encoding") - {"identity"}


def strong_etag(headers: HTTPMessage) -> str | None:
    """The ETag, if it promises the same bytes."""
    etag = (headers.get("ETag") or "").strip()
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def check_continuation(
    answer: Answer, *, host: str, offset: int, total: int | None, etag: str
) -> int:
    """Return the whole file's length if the answer goes on at `offset` to its end.

    Raises Temporary where the file is another one by now, or the server cannot go on.
    """
    if answer.status not in (200, 206, 412, 416):
        raise _meaning(answer, host)
    told = _CONTENT_RANGE.fullmatch((answer.headers.get("Content-Range") or "").strip())
    if answer.status != 206 or told is None or strong_etag(answer.headers) != etag:
        raise changed(host)
    whole = total if told[3] == "*" else int(told[3])
    if whole is None or total not in (None, whole):
        raise changed(host)
    if (int(told[1]), int(told[2])) != (offset, whole - 1):
        raise changed(host)
    return whole


def retry_after(headers: HTTPMessage | Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, at most six hours; None if it names no time."""
    told = (headers.get("Retry-After") or "").strip()
    if _DIGITS.fullmatch(told):
        return min(float(told), _LONGEST_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(told)
    except ValueError:
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def media_type(headers: HTTPMessage) -> str | None:
    """The declared type without parameters, in lower case."""
    told = (headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    return told or None


def changed(host: str) -> Temporary:
    """What is said when two answers do not make one file."""
    return Temporary(f"{host}: the file changed while it was read, or cannot be continued")


def _meaning(answer: Answer, host: str) -> WorkError:
    status = answer.status
    if status in _GONE:
        return Gone(f"{host} answers {status}: the file is gone there, or its URL has expired")
    if status in _TRY_AGAIN or status >= 500 or status < 200:
        wait = retry_after(answer.headers)
        return Temporary(f"{host} answers {status} for now", retry_after=wait)
    if status in _EMPTY:
        return Permanent(f"{host} answers {status}: an empty file is refused")
    return Permanent(f"{host} answers {status}: check the source URL")


def _tokens(headers: HTTPMessage, name: str) -> set[str]:
    values = ",".join(headers.get_all(name) or ()).split(",")
    return {value.strip().lower() for value in values if value.strip()}
