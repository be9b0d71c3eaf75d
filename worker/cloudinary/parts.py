"""Files from this machine: a large one goes in parts, of which memory holds one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

LARGE = 20 * 2**20  # bytes from which a file goes in parts
PART = 8 * 2**20  # bytes; Cloudinary wants at least 5 MiB in each but the last
TRIES = 4
# The SDK's names for a connection that broke, an answer that makes no sense, and a 5xx.
PASSING = ("Error", "GeneralError")
CHANGED = "the file was changed while it was uploaded"

Progress = Callable[[int], None]


class FileChanged(Exception):
    """The file is not the one any more that was begun with."""


class Incomplete(Exception):
    """Cloudinary goes on waiting for parts that were sent."""


class Stopped(Exception):
    """Whoever wanted the upload does not want it any more: no asset was made."""


def send_file(
    path: Path, options: Mapping[str, Any], *, progress: Progress, stopped: Event
) -> Mapping[str, Any]:
    """Upload a file; `progress` is told the bytes sent so far. Blocking.

    A part whose connection breaks is sent again. Raises the SDK's errors, `OSError`,
    `FileChanged`, `Incomplete`, and `Stopped` between two parts once `stopped` is set.
    """
    import cloudinary.uploader

    size = path.stat().st_size
    if size > LARGE:
        return _send_parts(path, size, options, progress=progress, stopped=stopped)
    answer: Mapping[str, Any] = cloudinary.uploader.upload(str(path), **options, filename=path.name)
    progress(size)
    return answer


def _send_parts(
    path: Path, size: int, options: Mapping[str, Any], *, progress: Progress, stopped: Event
) -> Mapping[str, Any]:
    upload, sent = uuid4().hex, 0
    answer: Mapping[str, Any] = {}
    with path.open("rb") as file:
        while sent < size:
            if stopped.is_set():
                raise Stopped
            part = file.read(min(PART, size - sent))
            last = min(sent + PART, size) - 1
            if sent + len(part) - 1 != last:
                raise FileChanged(CHANGED)
            headers = {"X-Unique-Upload-Id": upload, "Content-Range": f"bytes {sent}-{last}/{size}"}
            answer = _send_part((path.name, part), headers, options)
            sent = last + 1
            progress(sent)
    if path.stat().st_size != size:
        raise FileChanged(CHANGED)
    if answer.get("done") is False:
        raise Incomplete("Cloudinary has not got all parts of the file")
    return answer


@retry(
    retry=retry_if_exception(lambda error: type(error).__name__ in PASSING),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    stop=stop_after_attempt(TRIES),
    reraise=True,
)
def _send_part(
    part: tuple[str, bytes], headers: Mapping[str, str], options: Mapping[str, Any]
) -> Mapping[str, Any]:
    import cloudinary.uploader

    answer: Mapping[str, Any] = cloudinary.uploader.upload_large_part(
        part, http_headers=dict(headers), **options
    )
    return answer
