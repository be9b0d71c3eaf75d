"""`media-worker sync upload`: files go to Cloudinary and into media_files, or into neither."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import psycopg

from worker.cloudinary.documents import RESOURCE_TYPES, TYPES, Document
from worker.cloudinary.failures import NoAccess
from worker.cloudinary.parts import Progress
from worker.cloudinary.uploads import Uploads
from worker.db.pool import DatabaseUnavailable
from worker.errors import Misconfigured, WorkError
from worker.queue.waiting import Answer, Bar, patient_database, progress_bar
from worker.settings import Settings
from worker.sync.requests import Requests

# How long an interrupted upload may take to its end, so that it can be removed again.
INTERRUPTED_SECONDS = 5.0
# What an upload may have become: the preset decides about the type.
KINDS = tuple(product(RESOURCE_TYPES, TYPES))


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

    async def __call__(self, path: Path, *, progress: Progress) -> Sent:
        """Upload the file and insert its row; what goes wrong is said in the answer.

        `progress` is told the bytes sent so far, in another thread.
        """
        name, stopped = self._new_name(path), Event()
        told = {"public_id": name, "resource_type": "auto"}
        upload = asyncio.create_task(
            self._uploads.upload_file(path, progress=progress, stopped=stopped, **told)
        )
        try:
            found = await asyncio.shield(upload)
        except (WorkError, OSError) as error:
            return Sent(path, error=await self._failed(name, error))
        except asyncio.CancelledError:
            stopped.set()
            await self._interrupted(name, upload)
            raise
        return await self._record(path, found)

    def _new_name(self, path: Path) -> str:
        """A name of its own: nothing that is there is replaced, and it may be removed unseen."""
        name = f"{path.stem[:60]}-{uuid4().hex[:12]}"
        return _safe("/".join(filter(None, (self._folder, name))))

    async def _failed(self, name: str, error: Exception) -> str:
        if isinstance(error, OSError | NoAccess):
            return str(error)
        # the answer may be all that was lost
        return f"{error}; {await self._remove(name, KINDS)}"

    async def _interrupted(self, name: str, upload: asyncio.Task[Document]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERRUPTED_SECONDS):
                await asyncio.wait([upload])
                await self._remove(name, KINDS)

    async def _record(self, path: Path, found: Document) -> Sent:
        row = _row(path, found, self._folder)
        try:
            id_ = await self._insert(row)
        except (psycopg.Error, DatabaseUnavailable) as error:
            said = f"the row could not be inserted: {str(error).splitlines()[0]}"
            return Sent(path, error=f"{said}; {await self._remove_found(found)}")
        except asyncio.CancelledError:
            await asyncio.shield(self._remove_found(found))
            raise
        return Sent(path, row={"id": str(id_), **row})

    async def _remove_found(self, found: Document) -> str:
        return await self._remove(found["public_id"], [(found["resource_type"], found["type"])])

    async def _remove(self, name: str, kinds: Iterable[tuple[str, str]]) -> str:
        try:
            gone = [
                await self._uploads.destroy(name, resource_type=resource_type, type=type_)
                for resource_type, type_ in kinds
            ]
        except WorkError as error:
            return f"the asset {name} may still be at Cloudinary: {error}"
        return "the uploaded asset was removed again" if any(gone) else "nothing was left there"


async def _send_all(send: FileSender, paths: Mapping[Path, int], *, quiet: bool) -> list[Sent]:
    sent: list[Sent] = []
    total, before = sum(paths.values()), 0
    with progress_bar("uploading", quiet=quiet, in_bytes=True) as bar:
        bar(0, total)
        for path, size in paths.items():
            sent.append(await send(path, progress=partial(_show, bar, before, total)))
            before += size
            bar(before, total)
    return sent


def _show(bar: Bar, before: int, total: int, done: int) -> None:
    bar(before + done, total)


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
