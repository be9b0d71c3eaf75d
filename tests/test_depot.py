"""What claimed work does to objects, on a real ledger and strict storages."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.storage.conftest import target_at
from tests.storage.s3_standin import S3StandIn, refuse
from tests.storage.sources import MemorySource, random_bytes, source_of
from tests.support.strict_s3 import StrictS3
from tests.support.wait import wait_until_async
from worker.db.pool import Database
from worker.depot import STOP_SECONDS, BlockingCalls, Depot, Destination, Parcel
from worker.errors import Busy, ClaimLost, Outage, Temporary
from worker.storage import NoSuchObject, ObjectStore, StorageTarget, Transfer
from worker.storage.ledger import Ledger, Place
from worker.storage.rates import SharedRates
from worker.storage.throttle import Throttle

KEY = "audio/1.mp3"
BODY = random_bytes(30_000)
Row = dict[str, Any]


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


@dataclass
class Site:
    """A depot with one bucket, and the ledger that tests look into."""

    depot: Depot
    database: Database
    store: ObjectStore
    worker: UUID
    executor: ThreadPoolExecutor

    def place(self, key: str = KEY) -> Place:
        target = self.store.target
        return Place(target.service, target.bucket, key, "audio_tracks", "1", "audio")

    def destination(self, key: str = KEY, **changes: Any) -> dict[str, Any]:
        return {
            "place": self.place(key),
            "store": self.store,
            "content_type": "audio/mpeg",
            "source_hash": "from here",
            "token": uuid4(),
            "is_still_ours": yes,
        } | changes

    async def put(self, key: str = KEY, body: bytes = BODY, **changes: Any) -> None:
        source = changes.pop("source", None) or source_of(body)
        await self.depot.put(Parcel(**self.destination(key, source=source, **changes)))

    async def remove(self, *keys: str, token: UUID | None = None, ours: Any = yes) -> None:
        places = [self.place(key) for key in keys or (KEY,)]
        await self.depot.remove(self.store, places, token=token or uuid4(), is_still_ours=ours)

    async def ledger(self, key: str = KEY) -> Row | None:
        rows = await self.database.call(
            "select * from media_worker.objects where object_key = %s", (key,)
        )
        return rows[0] if rows else None

    async def hold(self, key: str = KEY) -> None:
        """Another living run is at the key."""
        other = Ledger(self.database, self.worker)
        await other.reserve(self.place(key), source_hash="", token=uuid4())


@pytest.fixture
async def site(database: str, store: ObjectStore) -> AsyncIterator[Site]:
    async with _site(database, store) as site:
        yield site


@pytest.fixture
async def strict_site(database: str, strict_store: ObjectStore) -> AsyncIterator[Site]:
    async with _site(database, strict_store) as site:
        yield site


class _site:
    def __init__(self, url: str, store: ObjectStore) -> None:
        self._database = Database(url)
        self._executor = ThreadPoolExecutor(4)
        self._transfer = Transfer(block=4096, request_timeout=5)
        self._store = store

    async def __aenter__(self) -> Site:
        worker = uuid4()
        await self._database.call(
            "select media_worker.beat(%s, 'host', 1, '1', '{}', 0)", (worker,)
        )
        depot = Depot(self._transfer, Ledger(self._database, worker), self._executor)
        return Site(depot, self._database, self._store, worker, self._executor)

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()
        self._executor.shutdown()


@pytest.fixture
def standin() -> Iterator[S3StandIn]:
    with S3StandIn() as server:
        yield server


@pytest.fixture
def store(standin: S3StandIn) -> Iterator[ObjectStore]:
    store = ObjectStore(target_at(standin.endpoint))
    yield store
    store.close()


@pytest.fixture
def strict() -> Iterator[StrictS3]:
    with StrictS3() as server:
        server.clock = iter(range(0, 10**6, 10)).__next__  # writes are far apart
        yield server


@pytest.fixture
def strict_store(strict: StrictS3) -> Iterator[ObjectStore]:
    keys = strict.access_key_id, strict.secret_access_key
    target = StorageTarget(
        "cdn:r2_cdn", strict.endpoint, strict.region, *keys, strict.fresh_bucket()
    )
    store = ObjectStore(target)
    yield store
    store.close()


# put


async def test_put_object_is_live_in_the_ledger(strict: StrictS3, strict_site: Site) -> None:
    await strict_site.put(cache_control="public, max-age=300")
    kept = strict_site.store.head(KEY)
    row = await strict_site.ledger()
    assert kept is not None and row is not None
    assert (kept.content_type, kept.cache_control) == ("audio/mpeg", "public, max-age=300")
    assert (row["state"], row["claim"], row["bytes"]) == ("live", None, len(BODY))
    assert (row["etag"], row["source_hash"]) == (kept.etag, "from here")


async def test_put_that_the_source_fails_leaves_nothing(standin: S3StandIn, site: Site) -> None:
    source = MemorySource(BODY, 2 * len(BODY), failure=Temporary("the source broke"))
    with pytest.raises(Temporary, match="the source broke"):
        await site.put(source=source)
    assert (standin.objects, await site.ledger()) == ({}, None)


async def test_put_whose_claim_is_lost_is_not_visible(standin: S3StandIn, site: Site) -> None:
    with pytest.raises(ClaimLost):
        await site.put(is_still_ours=no)
    assert (standin.objects, await site.ledger()) == ({}, None)


async def test_put_that_is_not_complete_is_not_visible(standin: S3StandIn, site: Site) -> None:
    def complete() -> None:
        raise Temporary("cut off")

    with pytest.raises(Temporary, match="cut off"):
        await site.put(complete=complete)
    assert (standin.objects, await site.ledger()) == ({}, None)


async def test_refused_put_is_looked_at_again(standin: S3StandIn, site: Site) -> None:
    standin.fail_once("PUT", refuse(500, "InternalError"))
    with pytest.raises(Outage):
        await site.put()
    row = await site.ledger()
    assert row is not None
    assert (row["state"], row["claim"], row["recheck_at"] is None) == ("intent", None, False)


async def test_put_beside_another_living_run_is_busy(standin: S3StandIn, site: Site) -> None:
    await site.hold()
    with pytest.raises(Busy):
        await site.put()
    assert standin.requests == []


@dataclass
class Stalling:
    """A source that gives one block, and the next when it is let go."""

    length: int
    reached: threading.Event
    go_on: threading.Event
    given: int = 0

    def readinto(self, buffer: memoryview) -> int:
        if self.given:
            self.reached.set()
            self.go_on.wait(10)
        count = min(len(buffer), self.length - self.given)
        buffer[:count] = bytes(count)
        self.given += count
        return count


async def cancelled_at(stalling: Stalling, work: Awaitable[None]) -> float:
    """Seconds that the cancelled work took to end, which the source holds up."""
    task = asyncio.ensure_future(work)
    await asyncio.to_thread(stalling.reached.wait, 5)
    started = time.monotonic()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return time.monotonic() - started


async def test_cancelled_put_stops_and_frees_the_place(standin: S3StandIn, site: Site) -> None:
    source = Stalling(len(BODY), threading.Event(), threading.Event())
    asyncio.get_running_loop().call_later(0.1, source.go_on.set)
    taken = await cancelled_at(source, site.put(source=source))
    assert taken < STOP_SECONDS
    assert (standin.objects, await site.ledger()) == ({}, None)


async def test_cancelled_put_leaves_no_error_that_nobody_asks_for(site: Site) -> None:
    unasked: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: unasked.append(found))
    source = Stalling(len(BODY), threading.Event(), threading.Event())
    asyncio.get_running_loop().call_later(0.1, source.go_on.set)
    await cancelled_at(source, site.put(source=source))
    await site.ledger()  # what the loop still had to end has ended
    gc.collect()
    assert unasked == []


async def test_cancelled_put_does_not_wait_for_a_source_that_hangs(site: Site) -> None:
    source = Stalling(len(BODY), threading.Event(), threading.Event())
    calls, closed = BlockingCalls(site.executor), threading.Event()
    parcel = Parcel(**site.destination(source=source))

    async def work() -> None:
        try:
            await site.depot.put(parcel, calls=calls)
        finally:
            calls.afterwards(closed.set)

    taken = await cancelled_at(source, work())
    assert STOP_SECONDS <= taken < STOP_SECONDS + 1
    row = await site.ledger()
    assert row is not None and (row["claim"], row["recheck_at"] is None) == (None, False)
    assert not closed.is_set()
    source.go_on.set()
    assert await asyncio.to_thread(closed.wait, 5)


# copy


async def copied(site: Site, origin: str = "tracks/1.mp3", **changes: Any) -> Any:
    return await site.depot.copy(Destination(**site.destination(**changes)), site.store, origin)


async def test_copy_has_the_bytes_and_its_own_headers(strict: StrictS3, strict_site: Site) -> None:
    strict_site.store.upload("tracks/1.mp3", BODY, "audio/wav")
    info = await copied(strict_site, cache_control="public, max-age=7")
    assert strict.read(strict_site.store.target.bucket, KEY) == BODY
    assert info == strict_site.store.head(KEY)
    assert (info.content_type, info.cache_control) == ("audio/mpeg", "public, max-age=7")
    row = await strict_site.ledger()
    assert row is not None
    assert (row["state"], row["claim"], row["bytes"]) == ("live", None, len(BODY))
    assert (row["etag"], row["sha256"]) == (info.etag, None)


async def test_copy_of_nothing_leaves_nothing(strict_site: Site) -> None:
    with pytest.raises(NoSuchObject):
        await copied(strict_site)
    assert await strict_site.ledger() is None


async def test_copy_whose_claim_is_lost_is_not_visible(strict: StrictS3, strict_site: Site) -> None:
    strict_site.store.upload("tracks/1.mp3", BODY)
    with pytest.raises(ClaimLost):
        await copied(strict_site, is_still_ours=no)
    assert not strict_site.store.exists(KEY)
    assert await strict_site.ledger() is None


async def test_copy_with_other_bytes_is_an_outage(strict: StrictS3, strict_site: Site) -> None:
    bucket = strict.buckets[strict_site.store.target.bucket]
    strict_site.store.upload("tracks/1.mp3", BODY)
    put = bucket.put

    def put_other_bytes(key: str, body: bytes, *rest: Any) -> str:
        return put(key, body[::-1], *rest)

    bucket.put = put_other_bytes  # type: ignore[method-assign]
    with pytest.raises(Outage, match="MD5"):
        await copied(strict_site)
    row = await strict_site.ledger()
    assert row is not None and row["recheck_at"] is not None


# remove


async def test_removed_objects_are_gone_and_forgotten(strict: StrictS3, strict_site: Site) -> None:
    await strict_site.put("audio/1.mp3")
    await strict_site.put("metadata/1.json", b"{}")
    await strict_site.remove("audio/1.mp3", "metadata/1.json")
    assert strict.keys(strict_site.store.target.bucket) == []
    assert await strict_site.ledger("audio/1.mp3") is None
    assert await strict_site.ledger("metadata/1.json") is None


async def test_removing_what_is_not_there_leaves_no_trace(strict_site: Site) -> None:
    await strict_site.remove()
    assert await strict_site.ledger() is None


async def test_object_is_not_removed_when_the_claim_is_lost(
    strict: StrictS3, strict_site: Site
) -> None:
    await strict_site.put()
    with pytest.raises(ClaimLost):
        await strict_site.remove(ours=no)
    assert strict.keys(strict_site.store.target.bucket) == [KEY]
    row = await strict_site.ledger()
    assert row is not None and (row["state"], row["claim"]) == ("live", None)


async def test_removal_beside_another_living_run_frees_what_it_took(
    strict: StrictS3, strict_site: Site
) -> None:
    await strict_site.put("audio/1.mp3")
    await strict_site.hold("metadata/1.json")
    with pytest.raises(Busy):
        await strict_site.remove("audio/1.mp3", "metadata/1.json")
    assert strict.keys(strict_site.store.target.bucket) == ["audio/1.mp3"]
    row = await strict_site.ledger("audio/1.mp3")
    assert row is not None and (row["state"], row["claim"]) == ("live", None)


async def test_removal_ends_uploads_that_a_lost_run_left_open(
    strict: StrictS3, strict_site: Site
) -> None:
    bucket = strict_site.store.target.bucket
    await strict_site.put()
    strict_site.store.create_multipart(KEY, content_type="audio/mpeg", cache_control=None)
    await strict_site.remove()
    assert strict.open_uploads(bucket) == []


async def test_removal_frees_the_place_when_the_storage_lists_no_uploads(
    standin: S3StandIn, site: Site
) -> None:
    await site.put()
    standin.fail_always("GET", refuse(503, "SlowDown"))
    with pytest.raises(Outage):
        await site.remove()
    row = await site.ledger()
    assert row is not None and row["claim"] is None


async def test_refused_removal_says_so_and_forgets_the_others(
    strict_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await strict_site.put("audio/1.mp3")
    await strict_site.put("metadata/1.json", b"{}")
    refused: Callable[..., Any] = lambda keys: {"audio/1.mp3": "AccessDenied: locked"}  # noqa: E731
    monkeypatch.setattr(strict_site.store, "delete_many", refused)
    with pytest.raises(Temporary, match=r"did not delete audio/1\.mp3: AccessDenied: locked"):
        await strict_site.remove("audio/1.mp3", "metadata/1.json")
    assert await strict_site.ledger("metadata/1.json") is None
    row = await strict_site.ledger("audio/1.mp3")
    assert row is not None and (row["claim"], row["recheck_at"] is None) == (None, False)


async def test_removal_that_the_storage_breaks_off_is_looked_at_again(
    standin: S3StandIn, site: Site
) -> None:
    await site.put()
    standin.fail_always("DELETE", refuse(503, "SlowDown"))
    with pytest.raises(Outage):
        await site.remove()
    row = await site.ledger()
    assert row is not None
    assert (row["state"], row["claim"], row["recheck_at"] is None) == ("suspect", None, False)


async def test_run_that_is_stopped_while_it_waits_for_its_turn_leaves_nothing(
    standin: S3StandIn, site: Site
) -> None:
    site.store.throttle = Throttle("storage", SharedRates(site.database), limit=0.02)
    await asyncio.to_thread(site.store.throttle.acquire)
    run = asyncio.create_task(site.put())
    await wait_until_async(site.ledger)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, STOP_SECONDS)
    assert await site.ledger() is None
    assert standin.requests == []


async def test_slow_down_leaves_what_was_there_to_be_looked_at(
    standin: S3StandIn, site: Site
) -> None:
    await site.put()
    site.store.throttle = Throttle("storage", SharedRates(site.database))
    standin.fail_once("PUT", refuse(503, "SlowDown"))
    with pytest.raises(Busy, match="SlowDown"):
        await site.put()
    row = await site.ledger()
    assert row is not None
    assert (row["claim"], row["recheck_at"] is None) == (None, False)
