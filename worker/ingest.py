"""Brings a foreign file into a bucket: downloaded, recognised, stored, verified, accounted for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Event
from typing import TypeVar
from uuid import UUID

from worker.download import Body, Content, Downloader, EndProof, Role, recognise
from worker.errors import Busy, ClaimLost, Outage, Temporary
from worker.storage.ledger import Ledger, Place, url_hash
from worker.storage.store import ObjectStore
from worker.storage.transfer import Stored, Transfer

T = TypeVar("T")
# An upload begins within the hour in which its claim can be looked at again.
UPLOAD_SECONDS = 3600
CLAIM_CHECK_SECONDS = 20.0
CACHE_CONTROL = "public, max-age=3600"


@dataclass(frozen=True)
class Errand:
    """What to fetch for whom. `source_name` is the URL that the file is known by in the ledger,
    `url` the one to fetch it from now; `place` makes the key from the file's real extension.
    """

    url: str
    source_name: str
    role: Role
    store: ObjectStore
    place: Callable[[str], Place]
    token: UUID
    is_still_ours: Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Ingested:
    """A file that is stored and verified; `seconds` is how long that took."""

    place: Place
    url: str
    stored: Stored
    seconds: float


class Ingest:
    """Runs errands. Blocking parts go to `executor`, one thread for a file."""

    def __init__(
        self, downloader: Downloader, transfer: Transfer, ledger: Ledger, executor: Executor
    ) -> None:
        self._downloader = downloader
        self._transfer = transfer
        self._ledger = ledger
        self._executor = executor

    async def fetch(self, errand: Errand) -> Ingested:
        """Store the file, or nothing.

        Raises the errors of the download and the storage, `ClaimLost` when another run has taken
        the work over, and `Busy` when another one is at the same key.
        """
        started = time.monotonic()
        body = await self._in_thread(self._downloader.open, errand.url)
        try:
            content = await self._in_thread(lambda: recognise(body.peek, role=errand.role))
            place = errand.place(content.extension)
            stored = await self._store(errand, place, content, body)
        finally:
            body.close()
        seconds = round(time.monotonic() - started, 3)
        return Ingested(place, errand.store.url(place.key), stored, seconds)

    async def _store(self, errand: Errand, place: Place, content: Content, body: Body) -> Stored:
        source_hash = url_hash(errand.source_name)
        standing = await self._ledger.reserve(place, source_hash=source_hash, token=errand.token)
        if standing == "busy":
            raise Busy("another run is writing or deleting the same object")
        upload = _Upload(errand, content, body)
        try:
            if standing == "again":
                await self._in_thread(errand.store.abort_uploads, place.key)
            stored = await self._in_thread(lambda: upload.run(self._transfer, place.key))
        except BaseException as error:
            upload.stop()
            untouched = not (upload.may_be_visible or isinstance(error, Outage))
            await asyncio.shield(
                self._ledger.abandon(place, token=errand.token, untouched=untouched)
            )
            raise
        if not await self._ledger.confirm(
            place, stored, source_hash=source_hash, token=errand.token
        ):
            raise ClaimLost("another run has taken the object over")
        return stored

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)


class _Upload:
    """One transfer in its thread. It can be stopped from outside, up to its last block."""

    def __init__(self, errand: Errand, content: Content, body: Body) -> None:
        self.may_be_visible = False
        self._errand = errand
        self._content = content
        self._body = body
        self._proof = None if body.ended_surely() else EndProof(content)
        self._stopped = Event()
        self._loop = asyncio.get_running_loop()

    @property
    def length(self) -> int | None:
        return self._body.length

    def run(self, transfer: Transfer, key: str) -> Stored:
        return transfer.send(
            self,
            self._errand.store,
            key,
            content_type=self._content.mime,
            cache_control=CACHE_CONTROL,
            complete=self._check_end,
            may_finish=self._check_claim,
            expires_in=UPLOAD_SECONDS,
        )

    def stop(self) -> None:
        self._stopped.set()

    def readinto(self, buffer: memoryview, /) -> int:
        if self._stopped.is_set():
            raise ClaimLost("the run was stopped")
        count = self._body.readinto(buffer)
        if self._proof is not None:
            self._proof.feed(buffer[:count])
        return count

    def _check_end(self) -> None:
        if self._proof is not None and not self._proof.complete():
            raise Temporary(
                f"{self._body.host} closed the connection without saying that the file is complete"
            )

    def _check_claim(self) -> None:
        asked = asyncio.run_coroutine_threadsafe(_patient(self._errand), self._loop)
        if not asked.result() or self._stopped.is_set():
            raise ClaimLost("another run has taken the work over")
        self.may_be_visible = True


async def _patient(errand: Errand) -> bool:
    try:
        async with asyncio.timeout(CLAIM_CHECK_SECONDS):
            return await errand.is_still_ours()
    except TimeoutError:
        raise Busy("the database did not say in time whether the work is still ours") from None
