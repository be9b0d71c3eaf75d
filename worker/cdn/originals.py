"""A track's audio where it comes from: an object in a bucket of ours, or a URL."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from worker.cdn.model import NotThereYet, StoredAt
from worker.cdn.shared import Shared
from worker.cdn.spool import Spooled, Spooling
from worker.depot import BlockingCalls
from worker.download import Body, Downloader, recognise
from worker.storage import Download, NoSuchObject, ObjectInfo, ObjectStore, Source
from worker.storage.ledger import url_hash

T = TypeVar("T")
HALF = 32  # hexadecimal digits
KEPT_ON_DISK = 256 * 1024 * 1024


@dataclass(frozen=True)
class Opened:
    """A source whose bytes are about to be read, and what is known of it before."""

    source: Source
    host: str
    close: Callable[[], None]
    source_hash: Callable[[str], str]
    sure_end: bool = True


class Reading:
    """Reads originals, each once for all who ask for it. `most` bytes are taken of a file."""

    def __init__(self, downloader: Downloader, executor: Executor, *, most: int) -> None:
        self.downloader = downloader
        self.most = most
        self.tags: Shared[str | None] = Shared()
        self._executor = executor
        self._spool: Shared[Spooled] = Shared(
            weight=lambda spooled: spooled.length, most=KEPT_ON_DISK
        )

    async def call(self, blocking: Callable[[], T]) -> T:
        """What the call returns, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, blocking)

    async def spooled(self, name: object, opened: Callable[[], Opened], *, since: float) -> Spooled:
        """The whole file, on disk; see `Shared` for `since`."""
        return await self._spool.get(name, lambda: self._read(opened), since=since)

    async def _read(self, opened: Callable[[], Opened]) -> Spooled:
        calls, held = BlockingCalls(self._executor), ExitStack()

        def begin() -> tuple[Spooling, Opened]:
            found = opened()
            held.callback(found.close)
            spooling = Spooling(
                found.source, host=found.host, most=self.most, sure_end=found.sure_end
            )
            return spooling, found

        try:
            spooling, found = await calls.run(begin)
            try:
                return await calls.run(partial(spooling.run, found.source_hash))
            finally:
                spooling.stop()
        finally:
            calls.afterwards(held.close)


class StoredOriginal:
    """An object in a bucket of ours, as a HEAD has just shown it."""

    def __init__(self, stored: StoredAt, reading: Reading) -> None:
        self.stored = stored
        self.source_hash = _stored_hash(stored.store, stored.info)
        self._reading = reading

    async def is_still(self, source_hash: str) -> bool:
        """Whether it is the same version of the same object."""
        return source_hash == self.source_hash

    async def recognised(self) -> str:
        """Its content type, by its first bytes; no more of it is read."""
        return await self._reading.call(lambda: _recognised(self._download()))

    async def goods(self) -> Spooled:
        """All of its bytes, on disk."""
        return await self._reading.spooled(self.source_hash, self._open, since=0.0)

    def _open(self) -> Opened:
        store, download = self.stored.store, self._download()
        # what is read now, should it have been overwritten since
        found = _stored_hash(store, download.info)
        return Opened(download, store.target.host, download.close, lambda _: found)

    def _download(self) -> Download:
        store, key = self.stored.store, self.stored.info.key
        try:
            return store.download(key)
        except NoSuchObject:
            raise not_there(store, key) from None


class WebOriginal:
    """A file at a URL; `since` as in `Shared`."""

    stored = None
    source_hash = None

    def __init__(self, url: str, reading: Reading, *, since: float) -> None:
        self._url = url
        self._reading = reading
        self._since = since

    async def is_still(self, source_hash: str) -> bool:
        """Whether it is at the same URL, and has the same strong ETag there."""
        if source_hash[:HALF] != url_hash(self._url)[:HALF]:
            return False
        reading = self._reading
        tag = await reading.tags.get(self._url, lambda: reading.call(self._look), since=self._since)
        return tag == source_hash

    async def recognised(self) -> str:
        """Its content type, once all of it was read."""
        return (await self.goods()).content_type

    async def goods(self) -> Spooled:
        """All of its bytes, on disk."""
        return await self._reading.spooled(self._url, self._open, since=self._since)

    def _look(self) -> str | None:
        with self._reading.downloader.open(self._url) as body:
            return _tagged_hash(self._url, body)

    def _open(self) -> Opened:
        body = self._reading.downloader.open(self._url)
        tagged = _tagged_hash(self._url, body)
        return Opened(
            body,
            body.host,
            body.close,
            # without a tag, only all of the bytes say what they are
            lambda sha256: tagged or url_hash(f"{self._url} {sha256}"),
            body.ended_surely(),
        )


def not_there(store: ObjectStore, key: str) -> NotThereYet:
    """What is said of a missing object."""
    return NotThereYet(f"{store.target.bucket} has no object {key[:200]!r} (yet)")


def _stored_hash(store: ObjectStore, info: ObjectInfo) -> str:
    target = store.target
    return url_hash(f"{target.endpoint} {target.bucket} {info.key} {info.etag} {info.size}")


def _tagged_hash(url: str, body: Body) -> str | None:
    """Half of it tells the URL, so that another one need not be asked; half tells its version."""
    if body.etag is None:
        return None
    version = hashlib.sha256(f"{body.etag} {body.length}".encode()).hexdigest()
    return url_hash(url)[:HALF] + version[:HALF]


def _recognised(download: Download) -> str:
    with closing(download):
        ahead = bytearray()

        def peek(size: int) -> bytes:
            while len(ahead) < size and (block := download.read(size - len(ahead))):
                ahead.extend(block)
            return bytes(ahead)

        return recognise(peek, role="audio").mime
