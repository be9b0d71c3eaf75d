"""The Upload API over the official SDK: it is not under the Admin API's rate limit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from worker.cloudinary.answers import Answer
from worker.cloudinary.documents import Document, document
from worker.cloudinary.failures import Refused, body_of
from worker.errors import Gone, Permanent
from worker.settings.cloudinary import CloudinaryAccess

UPLOAD_SECONDS, CALL_SECONDS = 900, 60
LONGEST_ERROR = 300  # characters
GONE = re.compile(r"\b(403|404|410|451)\b")
UNFIT = re.compile(r"invalid|unsupported|too large|empty file|preset", re.IGNORECASE)
STATUSES = {
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
        """Upload what a URL names; `options` are the SDK's.

        An asset of the same name is replaced. Raises `Permanent` for what is no URL.
        """
        from cloudinary.utils import is_remote_url

        # the SDK would read a file of this machine
        if not is_remote_url(url):
            raise Permanent("source_url is no URL: give one that begins with https://")
        return await self._upload("upload", url, **options)

    async def upload_file(self, path: Path, *, large: bool, **options: Any) -> Document:
        """Upload a file of this machine, a `large` one in parts; `options` are the SDK's."""
        return await self._upload("upload_large" if large else "upload", str(path), **options)

    async def rename(self, public_id: str, to: str, *, resource_type: str, type: str) -> Document:
        """Give an asset another name. Raises `Permanent` where that cannot be."""
        kind = {"resource_type": resource_type, "type": type}
        try:
            return document(await self._call("rename", public_id, to, invalidate=True, **kind))
        except Refused as error:
            raise Permanent(f"{error}; give the row another public_id") from error

    async def destroy(self, public_id: str, *, resource_type: str) -> bool:
        """Remove an asset that was just uploaded; whether it was there."""
        kind = {"resource_type": resource_type}
        answer = await self._call("destroy", public_id, invalidate=True, **kind)
        return answer.get("result") == "ok"

    async def _upload(self, function: str, source: str, **options: Any) -> Document:
        given = {"timeout": UPLOAD_SECONDS, **self._preset, **options}
        try:
            return document(await self._call(function, source, **given))
        except Refused as error:
            raise _about_the_file(str(error)) or error from error

    async def _call(self, function: str, *arguments: str, **options: Any) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        call = partial(self._blocking, function, *arguments, **options)
        return body_of(await loop.run_in_executor(self._executor, call))

    def _blocking(self, function: str, *arguments: str, **options: Any) -> Answer:
        # here, since the SDK reads the environment when it is imported, and may not like it
        import cloudinary.uploader

        given = {"timeout": CALL_SECONDS, **self._options, **options}
        try:
            return Answer(200, getattr(cloudinary.uploader, function)(*arguments, **given))
        except Exception as error:  # the SDK raises bare ones, too
            return Answer(STATUSES.get(type(error).__name__), error=_plain(error))


def _about_the_file(message: str) -> Permanent | None:
    if "Error in loading" in message:
        gone = GONE.search(message)
        return Gone(f"{message}; give the row another source_url") if gone else None
    return Permanent(message) if UNFIT.search(message) else None


def _plain(error: Exception) -> str:
    # a source's URL may be signed
    return re.sub(r"\?\S*", "", str(error))[:LONGEST_ERROR]
