"""`media-worker sync upload`: files go to Cloudinary and into media_files, or into neither."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from worker.cloudinary.documents import Document
from worker.cloudinary.uploads import Uploads
from worker.db.pool import DatabaseUnavailable
from worker.errors import Misconfigured, WorkError
from worker.queue.waiting import Answer, patient_database, progress_bar
from worker.settings import Settings
from worker.sync.requests import Requests

LARGE = 20 * 2**20  # bytes from which a file goes in parts
# How long an interrupted upload may take to its end, so that it can be removed again.
INTERRUPTED_SECONDS = 5.0


@dataclass(frozen=True)
class Sent:
    """What became of a file: the row's values, or why there is none."""

    path: Path
    row: Document | None = None
    error: str | None = None


def upload_files(settings: Settings, paths: Sequence[Path], *, quiet: bool) -> Answer:
    """Upload files to `CLOUDINARY_FOLDER`, and insert their rows of media_files.

    Where a row cannot be inserted, its asset is removed again. Progress is shown on a terminal
    unless `quiet`. Raises `Misconfigured` without an account.
    """
    access = settings.cloudinary
    if access is None:
        raise Misconfigured(f"Cloudinary is not set: set {', '.join(settings.cloudinary_missing)}")

    sizes = {path: path.stat().st_size for path in paths}

    async def run() -> list[Sent]:
        executor = ThreadPoolExecutor(1)
        try:
            async with patient_database(settings) as database:
                send = FileSender(
                    Uploads(access, executor, preset=settings.cloudinary_upload_preset),
                    Requests(database).insert_file,
                    folder=settings.cloudinary_folder,
                )
                return await _send_all(send, sizes, quiet=quiet)
        finally:
            # whoever interrupts is not to wait for the network
            executor.shutdown(wait=False, cancel_futures=True)

    return _answer(asyncio.run(run()))


class FileSender:
    """Uploads one file after the other, each with its row or not at all."""

    def __init__(
        self,
        uploads: Uploads,
        insert: Callable[[dict[str, Any]], Awaitable[object]],
        *,
        folder: str,
    ) -> None:
        self._uploads = uploads
        self._insert = insert
        self._folder = folder.strip("/")

    async def __call__(self, path: Path, *, size: int) -> Sent:
        """Upload the file and insert its row; what goes wrong is said in the answer."""
        try:
            upload = asyncio.create_task(self._upload(path, large=size > LARGE))
            found = await asyncio.shield(upload)
        except WorkError as error:
            return Sent(path, error=str(error))
        except asyncio.CancelledError:
            with suppress(TimeoutError, WorkError):
                async with asyncio.timeout(INTERRUPTED_SECONDS):
                    await self._remove(await upload)
            raise
        return await self._record(path, found)

    async def _upload(self, path: Path, *, large: bool) -> Document:
        # a name of its own: nothing that is there is replaced
        name = "/".join(filter(None, (self._folder, f"{path.stem[:60]}-{uuid4().hex[:12]}")))
        return await self._uploads.upload_file(
            path, public_id=_safe(name), resource_type="auto", large=large
        )

    async def _record(self, path: Path, found: Document) -> Sent:
        row = _row(path, found, self._folder)
        try:
            id_ = await self._insert(row)
        except (psycopg.Error, DatabaseUnavailable) as error:
            said = f"the row could not be inserted: {str(error).splitlines()[0]}"
            return Sent(path, error=f"{said}; {await self._remove(found)}")
        except asyncio.CancelledError:
            await asyncio.shield(self._remove(found))
            raise
        return Sent(path, row={"id": str(id_), **row})

    async def _remove(self, found: Document) -> str:
        name = found["public_id"]
        try:
            await self._uploads.destroy(name, resource_type=found["resource_type"])
        except WorkError as error:
            return f"the asset {name} is still at Cloudinary: {error}"
        return "the uploaded asset was removed again"


async def _send_all(send: FileSender, paths: Mapping[Path, int], *, quiet: bool) -> list[Sent]:
    sent: list[Sent] = []
    with progress_bar("uploading", quiet=quiet) as bar:
        bar(0, len(paths))
        for path, size in paths.items():
            sent.append(await send(path, size=size))
            bar(len(sent), len(paths))
    return sent


def _row(path: Path, found: Document, folder: str) -> dict[str, Any]:
    return {
        **{name: found.get(name) for name in ("public_id", "resource_type", "type", "url")},
        "secure_url": found.get("secure_url"),
        "bytes": found.get("bytes"),
        "filename": path.name,
        "mime_type": mimetypes.guess_type(path.name)[0],
        "folder": folder,
    }


def _safe(name: str) -> str:
    return "".join("_" if letter in "?&#%<>\\" or letter.isspace() else letter for letter in name)


def _answer(sent: Sequence[Sent]) -> Answer:
    errors = [f"{each.path}: {each.error}" for each in sent if each.error is not None]
    rows = [each.row for each in sent if each.row is not None]
    message = f"Uploaded {len(rows)} of {len(sent)} files"
    lines = [f"- {row['filename']}: {row['secure_url']}" for row in rows]
    lines += [f"- {error}" for error in errors]
    body: dict[str, Any] = {"files": rows}
    if errors:
        body |= {"success": False, "errors": errors}
    return Answer(message, "\n".join([message, *lines]), failed=bool(errors), body=body)
