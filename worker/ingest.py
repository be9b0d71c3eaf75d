"""Brings a foreign file into a bucket: downloaded, recognised, stored, verified, accounted for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from worker.depot import BlockingCalls, Depot, Parcel
from worker.download import Body, Content, Downloader, EndProof, Role, recognise
from worker.errors import Temporary
from worker.storage.ledger import Place, url_hash
from worker.storage.store import ObjectStore
from worker.storage.transfer import Stored


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

    def __init__(self, downloader: Downloader, depot: Depot, executor: Executor) -> None:
        self._downloader = downloader
        self._depot = depot
        self._executor = executor

    async def fetch(self, errand: Errand) -> Ingested:
        """Store the file, or nothing. Raises the errors of the download and of `Depot.put`."""
        started = time.monotonic()
        calls, held = BlockingCalls(self._executor), ExitStack()
        try:
            opened = partial(self._downloader.open, errand.url)
            body = await calls.run(lambda: held.enter_context(opened()))
            content = await calls.run(lambda: recognise(body.peek, role=errand.role))
            parcel = _parcel(errand, content, body)
            stored = await self._depot.put(parcel, calls=calls)
        finally:
            calls.afterwards(held.close)
        place, seconds = parcel.place, round(time.monotonic() - started, 3)
        return Ingested(place, errand.store.url(place.key), stored, seconds)


def _parcel(errand: Errand, content: Content, body: Body) -> Parcel:
    source = _Download(body, None if body.ended_surely() else EndProof(content))
    return Parcel(
        place=errand.place(content.extension),
        store=errand.store,
        source=source,
        content_type=content.mime,
        source_hash=url_hash(errand.source_name),
        token=errand.token,
        is_still_ours=errand.is_still_ours,
        complete=source.check_end,
    )


class _Download:
    """A body as a source; `proof` finds its end in the content where the connection does not."""

    def __init__(self, body: Body, proof: EndProof | None) -> None:
        self._body = body
        self._proof = proof

    @property
    def length(self) -> int | None:
        return self._body.length

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._body.readinto(buffer)
        if self._proof is not None:
            self._proof.feed(buffer[:count])
        return count

    def check_end(self) -> None:
        if self._proof is not None and not self._proof.complete():
            raise Temporary(
                f"{self._body.host} closed the connection without saying that the file is complete"
            )
