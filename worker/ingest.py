"""Brings a foreign file into a bucket: downloaded, recognised, stored, verified, accounted for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, TypeVar
from uuid import UUID

from worker.download import Body, Content, Downloader, EndProof, Role, recognise
from worker.errors import Busy, ClaimLost, Outage, Temporary
from worker.queue.store import patiently
from worker.storage.ledger import Ledger, Place, url_hash
from worker.storage.store import ObjectStore
from worker.storage.transfer import Stored, Transfer

T = TypeVar("T")
# An upload begins within the hour in which its claim can be looked at again.
UPLOAD_SECONDS = 3600
CLAIM_CHECK_SECONDS = 20.0
# What the thread of a run that was stopped may take to abort its upload.
STOP_SECONDS = 2.0
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
        thread, held = _Thread(self._executor), ExitStack()
        try:
            opened = partial(self._downloader.open, errand.url)
            body = await thread.run(lambda: held.enter_context(opened()))
            content = await thread.run(lambda: recognise(body.peek, role=errand.role))
            place = errand.place(content.extension)
            stored = await self._store(thread, place, _Upload(errand, content, body))
        finally:
            thread.afterwards(held.close)
        seconds = round(time.monotonic() - started, 3)
        return Ingested(place, errand.store.url(place.key), stored, seconds)

    async def _store(self, thread: _Thread, place: Place, upload: _Upload) -> Stored:
        try:
            stored, ours = await self._claimed(thread, place, upload)
        except BaseException as error:
            await asyncio.shield(self._give_up(thread, place, upload, error))
            raise
        if not ours:
            raise ClaimLost("another run has taken the object over")
        return stored

    async def _claimed(self, thread: _Thread, place: Place, upload: _Upload) -> tuple[Stored, bool]:
        errand = upload.errand
        source, token = url_hash(errand.source_name), errand.token
        standing = await self._ledger.reserve(place, source_hash=source, token=token)
        if standing == "busy":
            raise Busy("another run is writing or deleting the same object")
        if standing == "again":
            await thread.run(partial(errand.store.abort_uploads, place.key))
        stored = await thread.run(lambda: upload.run(self._transfer, place.key))
        return stored, await self._ledger.confirm(place, stored, source_hash=source, token=token)

    async def _give_up(
        self, thread: _Thread, place: Place, upload: _Upload, error: BaseException
    ) -> None:
        upload.stop()
        # a thread that goes on has not yet aborted what it has begun
        ended = await thread.ended(within=STOP_SECONDS)
        untouched = ended and not (upload.may_be_visible or isinstance(error, Outage))
        await self._ledger.abandon(place, token=upload.errand.token, untouched=untouched)


class _Thread:
    """Blocking calls, one after another. Who waits for one may be cancelled; the call goes on."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._call: asyncio.Future[Any] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        self._call = future
        return await asyncio.shield(future)

    async def ended(self, *, within: float) -> bool:
        """Whether no call is under way any more, at the latest `within` seconds from now."""
        if self._call is None:
            return True
        done, _ = await asyncio.wait({self._call}, timeout=within)
        return bool(done)

    def afterwards(self, do: Callable[[], None]) -> None:
        """Do it as soon as no call is under way."""
        if self._call is None or self._call.done():
            do()
        else:
            self._call.add_done_callback(lambda _: do())


class _Upload:
    """One transfer in its thread. It can be stopped from outside, up to its last block."""

    def __init__(self, errand: Errand, content: Content, body: Body) -> None:
        self.may_be_visible = False
        self.errand = errand
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
            self.errand.store,
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
        asked = asyncio.run_coroutine_threadsafe(_is_still_ours(self.errand), self._loop)
        ours = asked.result()
        self.may_be_visible = ours  # said first: a stop that comes now must not miss it
        if not ours or self._stopped.is_set():
            raise ClaimLost("another run has taken the work over")


async def _is_still_ours(errand: Errand) -> bool:
    @patiently
    async def ask() -> bool:
        return await errand.is_still_ours()

    try:
        async with asyncio.timeout(CLAIM_CHECK_SECONDS):
            return await ask()
    except TimeoutError:
        raise Busy("the database did not say in time whether the work is still ours") from None
