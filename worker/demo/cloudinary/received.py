"""Files as uploads bring them: as bytes, in parts, within the request, or from somewhere."""

from __future__ import annotations

import base64
import binascii
import http.client
import re
import threading
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from worker.demo.cloudinary.wire import FilePart, Params, Refused

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FETCH_TIMEOUT = 10.0  # seconds
SMALLEST_PART = 5 * 2**20  # bytes, of all parts but the last


class Files:
    """Remembers the parts of files that are not complete yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, bytearray] = {}

    def whole(self, params: Params, headers: Mapping[str, str]) -> FilePart | None:
        """The file of an upload; None while parts of it are missing. Raises Refused."""
        if params.file is None:
            return _named(params.text("file"))
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(-?\d+)", headers.get("content-range", ""))
        if span is None:
            return _not_empty(params.file)
        upload = headers.get("x-unique-upload-id", "")
        return self._join(upload, params.file, *(int(number) for number in span.groups()))

    def _join(
        self, upload: str, part: FilePart, first: int, last: int, total: int
    ) -> FilePart | None:
        with self._lock:
            joined = self._parts.setdefault(upload, bytearray())
            if len(joined) < first or last - first + 1 != len(part.content):
                raise Refused(400, "Content-Range does not continue the parts before it")
            if last + 1 != total and len(part.content) < SMALLEST_PART:
                raise Refused(400, "All parts except EOF-chunk must be larger than 5mb")
            # a part may be sent once more: its answer was lost
            joined[first:] = part.content
            if last + 1 != total:
                return None
            return FilePart(part.filename, bytes(self._parts.pop(upload)))


def _named(source: str) -> FilePart | None:
    if not source:
        raise Refused(400, "Missing required parameter - file")
    if source.startswith("data:"):
        return _data(source)
    parts = urlsplit(source)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        place = f"{parts.scheme}://{parts.hostname}{parts.path}"
        raise Refused(400, f"Error in loading {place} - only this machine is reached from here")
    return _fetched(source)


def _data(source: str) -> FilePart:
    head, _, text = source.partition(",")
    try:
        encoded = head.endswith(";base64")
        content = base64.b64decode(text, validate=True) if encoded else unquote_to_bytes(text)
    except binascii.Error as error:
        raise Refused(400, "Invalid data URI") from error
    return _not_empty(FilePart("file", content))


def _fetched(source: str) -> FilePart:
    parts = urlsplit(source)
    place = f"{parts.scheme}://{parts.netloc}{parts.path}"
    connection = http.client.HTTPConnection(parts.netloc, timeout=FETCH_TIMEOUT)
    try:
        connection.request("GET", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}")
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Refused(400, f"Error in loading {place} - {type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise Refused(400, f"Error in loading {place} - {answer.status} {answer.reason}")
    return _not_empty(FilePart(PurePosixPath(unquote(parts.path)).name, content))


def _not_empty(file: FilePart) -> FilePart:
    if not file.content:
        raise Refused(400, "Empty file")
    return file
