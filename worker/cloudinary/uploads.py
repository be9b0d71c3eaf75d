"""The Upload API over the official SDK: it is not under the Admin API's rate limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from worker.cloudinary.answers import Answer
from worker.cloudinary.documents import Document, document
from worker.cloudinary.failures import Limited, Refused, body_of
from worker.cloudinary.limits import LimitLog
from worker.cloudinary.parts import Progress, send_file
from worker.errors import Gone, Permanent
from worker.settings.cloudinary import CloudinaryAccess

UPLOAD_SECONDS, CALL_SECONDS = 900, 60
LONGEST_ERROR = 300  # characters
GONE = re.compile(r"\b(403|404|410|451)\b")
UNFIT = re.compile(r"invalid|unsupported|too large|empty file|preset", re.IGNORECASE)
STATUSES = {
    "FileChanged": 400,
    "Incomplete": 400,
    "Stopped": 400,
    "BadRequest": 400,
    "AuthorizationRequired": 401,
    "NotAllowed": 403,
    "NotFound": 404,
    "AlreadyExists": 409,
    "RateLimited": 420,
    "GeneralError": 500,
}


class Uploads:
    """Uploads, renames and destroys assets, off the event loop.

    Its errors are those of `Account`; what Cloudinary says about the file itself is `Permanent`.
    """

    def __init__(
        self, access: CloudinaryAccess, executor: Executor, *, preset: str | None = None
    ) -> None:
        self._executor = executor
        self._limits = LimitLog()
        self._preset = {"upload_preset": preset} if preset else {}
        self._options: Mapping[str, Any] = {
            "cloud_name": access.cloud_name,
            "api_key": access.api_key,
            "api_secret": access.api_secret,
            "upload_prefix": access.api_base,
            # the SDK would take it from its own environment
            "oauth_token": None,
        }

    async def upload(self, url: str, **options: Any) -> Document:
        """Upload what a URL names; an asset of the same name is replaced. `options`: the SDK's.

        Raises `Permanent` for what is no URL.
        """
        from cloudinary.utils import is_remote_url

        # the SDK would read a file of this machine
        if not is_remote_url(url):
            raise Permanent("source_url is no URL: give one that begins with https://")
        given = {"timeout": UPLOAD_SECONDS, **self._preset, **options}
        return await self._uploaded(self._call("upload", url, **given))

    async def upload_file(
        self, path: Path, *, progress: Progress, stopped: Event, **options: Any
    ) -> Document:
        """Upload a file, a large one in parts; `options` are the SDK's.

        `progress` is told the bytes sent so far, in another thread. Once `stopped` is set, a
        large file goes no further. Raises `OSError`, too.
        """
        given = {**self._options, "timeout": UPLOAD_SECONDS, **self._preset, **options}
        send = partial(send_file, path, given, progress=progress, stopped=stopped)
        return await self._uploaded(self._answered(send))

    async def _uploaded(self, call: Awaitable[Mapping[str, Any]]) -> Document:
        try:
            return document(await call)
        except Refused as error:
            raise _about_the_file(str(error)) or error from error

    async def rename(self, public_id: str, to: str, *, resource_type: str, type: str) -> Document:
        """Give an asset another name. Raises `Permanent` where that cannot be."""
        kind = {"resource_type": resource_type, "type": type}
        try:
            return document(await self._call("rename", public_id, to, invalidate=True, **kind))
        except Refused as error:
            raise Permanent(f"{error}; give the row another public_id") from error

    async def destroy(self, public_id: str, *, resource_type: str, type: str) -> bool:
        """Remove an asset that was just uploaded; whether it was there."""
        kind = {"resource_type": resource_type, "type": type}
        answer = await self._call("destroy", public_id, invalidate=True, **kind)
        return answer.get("result") == "ok"

    async def _call(self, function: str, *arguments: str, **options: Any) -> Mapping[str, Any]:
        def call() -> Mapping[str, Any]:
            # here, since the SDK reads the environment when it is imported, and may not like it
            import cloudinary.uploader

            given = {"timeout": CALL_SECONDS, **self._options, **options}
            found: Mapping[str, Any] = getattr(cloudinary.uploader, function)(*arguments, **given)
            return found

        return await self._answered(call)

    async def _answered(self, call: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._executor, partial(_answer, call))
        try:
            return body_of(answer)
        except Limited as limited:
            self._limits.say(limited, reason="the Upload API takes no more calls for now")
            raise


def _answer(call: Callable[[], Mapping[str, Any]]) -> Answer:
    try:
        return Answer(200, call())
    except OSError:
        raise
    except Exception as error:  # the SDK raises bare ones, too
        return Answer(STATUSES.get(type(error).__name__), error=_plain(error))


def _about_the_file(message: str) -> Permanent | None:
    if "Error in loading" in message:
        gone = GONE.search(message)
        return Gone(f"{message}; give the row another source_url") if gone else None
    return Permanent(message) if UNFIT.search(message) else None


def _plain(error: Exception) -> str:
    # a source's URL may be signed, or name a password
    return re.sub(r"(?<=://)[^\s/]*@|\?\S*", "", str(error))[:LONGEST_ERROR]
