"""Stores, copies and deletes objects for claimed work, each of them accounted for in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, TypeVar
from uuid import UUID

from worker.errors import Busy, ClaimLost, Outage, Temporary
from worker.queue.store import patiently
from worker.storage import copying
from worker.storage.bucket import ObjectInfo
from worker.storage.failures import Throttled
from worker.storage.intake import Source, nothing
from worker.storage.ledger import Ledger, Place
from worker.storage.store import ObjectStore
from worker.storage.throttle import giving_way
from worker.storage.transfer import Stored, Transfer

T = TypeVar("T")
IsStillOurs = Callable[[], Awaitable[bool]]
# An upload begins within the hour in which its claim can be looked at again.
UPLOAD_SECONDS = 3600
CLAIM_CHECK_SECONDS = 20.0
# What the thread of a run that was stopped may take to abort its upload.
STOP_SECONDS = 2.0
CACHE_CONTROL = "public, max-age=3600"


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where an object is to be, as what, and by whose claim.

    `source_hash` is what the ledger keeps of where its bytes come from. `is_still_ours` says
    whether the claim `token` stands; it is asked right before the object becomes visible.
    """

    place: Place
    store: ObjectStore
    content_type: str
    source_hash: str
    token: UUID
    is_still_ours: IsStillOurs
    cache_control: str = CACHE_CONTROL


@dataclass(frozen=True, kw_only=True)
class Parcel(Destination):
    """Bytes to be stored. `complete` is called at their end, and raises when they are not whole."""

    source: Source
    complete: Callable[[], None] = nothing


class Depot:
    """What claimed work does to objects. Blocking parts go to `executor`, one thread for a call.

    Every method raises `ClaimLost` when another run has taken the work over, `Busy` when another
    run is at the same key or the database does not answer, and the errors of the storage. One
    that is cancelled stops within STOP_SECONDS.
    """

    def __init__(self, transfer: Transfer, ledger: Ledger, executor: Executor) -> None:
        self._transfer = transfer
        self._ledger = ledger
        self._executor = executor

    async def put(self, parcel: Parcel, *, calls: BlockingCalls | None = None) -> Stored:
        """Store the bytes, or nothing; raises their source's errors too.

        Nothing reads the source any more once `calls` has come to its end, which in a run that
        was cancelled may be after this method (`BlockingCalls.afterwards`).
        """
        run = _Run(parcel.is_still_ours, calls or BlockingCalls(self._executor))

        def send() -> Stored:
            return self._transfer.send(
                parcel.source,
                parcel.store,
                parcel.place.key,
                content_type=parcel.content_type,
                cache_control=parcel.cache_control,
                going_on=run.check_running,
                complete=parcel.complete,
                may_finish=run.check_claim,
                expires_in=UPLOAD_SECONDS,
            )

        return await self._accounted(run, parcel, send, facts=lambda stored: stored)

    async def copy(self, to: Destination, origin: ObjectStore, key: str) -> ObjectInfo:
        """Have the storage copy the object `key` of `origin`, a bucket of the same account.

        Raises `NoSuchObject` when there is none, `Temporary` when it is overwritten meanwhile.
        """
        run = _Run(to.is_still_ours, BlockingCalls(self._executor))
        changes = copying.headers(content_type=to.content_type, cache_control=to.cache_control)

        def copy() -> ObjectInfo:
            return copying.copy(
                origin, key, to.store, to.place.key, changes=changes, may_finish=run.check_claim
            )

        def facts(info: ObjectInfo) -> Stored:
            return Stored(info.size, None, info.etag, to.content_type)

        return await self._accounted(run, to, copy, facts=facts)

    async def remove(
        self,
        store: ObjectStore,
        places: Sequence[Place],
        *,
        token: UUID,
        is_still_ours: IsStillOurs,
    ) -> None:
        """Delete the objects; what is not there counts as deleted.

        Raises `Temporary` when the storage refuses some of them; the others are gone then.
        """
        run = _Run(is_still_ours, BlockingCalls(self._executor))
        held = list(places)
        try:
            for place in places:
                await self._reserve(run, store, place, token=token)
            refused = await run.call(partial(_delete, run, store, places))
            for place in [place for place in places if place.key not in refused]:
                await self._ledger.forget(place, token=token)
                held.remove(place)
            if refused:
                raise Temporary(_refusal(store, refused))
        except BaseException as error:
            await asyncio.shield(self._give_up(run, held, error, token=token))
            raise

    async def _accounted(
        self, run: _Run, to: Destination, act: Callable[[], T], *, facts: Callable[[T], Stored]
    ) -> T:
        place, source, token = to.place, to.source_hash, to.token
        try:
            await self._reserve(run, to.store, place, token=token, source_hash=source)
            done = await run.call(act)
            ours = await self._ledger.confirm(place, facts(done), source_hash=source, token=token)
        except BaseException as error:
            await asyncio.shield(self._give_up(run, [place], error, token=token))
            raise
        if not ours:
            raise ClaimLost("another run has taken the object over")
        return done

    async def _reserve(
        self, run: _Run, store: ObjectStore, place: Place, *, token: UUID, source_hash: str = ""
    ) -> None:
        standing = await self._ledger.reserve(place, source_hash=source_hash, token=token)
        if standing == "busy":
            raise Busy("another run is writing or deleting the same object")
        if standing == "again":
            await run.call(partial(store.abort_uploads, place.key))

    async def _give_up(
        self, run: _Run, places: Sequence[Place], error: BaseException, *, token: UUID
    ) -> None:
        run.stop()
        # a thread that goes on has not yet aborted what it has begun
        ended = await run.calls.ended(within=STOP_SECONDS)
        untouched = ended and not (run.may_be_visible or isinstance(error, Outage | Throttled))
        for place in places:
            await self._ledger.abandon(place, token=token, untouched=untouched)


class BlockingCalls:
    """Blocking calls, one after another. Who waits for one may be cancelled; the call goes on."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._call: asyncio.Future[Any] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        # who was cancelled does not ask any more why the call ended
        future.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
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


class _Run:
    """What a blocking call is allowed. It can be stopped from outside, up to its last moment."""

    def __init__(self, is_still_ours: IsStillOurs, calls: BlockingCalls) -> None:
        self.may_be_visible = False
        self.calls = calls
        self._is_still_ours = is_still_ours
        self._stopped = Event()
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        self._stopped.set()

    async def call(self, act: Callable[[], T]) -> T:
        """What the blocking call returns; it gives way where it waits for its turn."""

        def do() -> T:
            with giving_way(self.check_running):
                return act()

        return await self.calls.run(do)

    def check_running(self) -> None:
        """Raises `ClaimLost` when the run was stopped."""
        if self._stopped.is_set():
            raise ClaimLost("the run was stopped")

    def check_claim(self) -> None:
        """Raises `ClaimLost` unless the work is still ours. For the thread of a blocking call."""
        self.check_running()
        asked = asyncio.run_coroutine_threadsafe(_ask(self._is_still_ours), self._loop)
        ours = asked.result()
        self.may_be_visible |= ours  # said first: a stop that comes now must not miss it
        if not ours:
            raise ClaimLost("another run has taken the work over")
        self.check_running()


async def _ask(is_still_ours: IsStillOurs) -> bool:
    @patiently
    async def ask() -> bool:
        return await is_still_ours()

    try:
        async with asyncio.timeout(CLAIM_CHECK_SECONDS):
            return await ask()
    except TimeoutError:
        raise Busy("the database did not say in time whether the work is still ours") from None


def _delete(run: _Run, store: ObjectStore, places: Sequence[Place]) -> Mapping[str, str]:
    store.throttle.acquire_ahead()
    run.check_claim()
    return store.delete_many([place.key for place in places])


def _refusal(store: ObjectStore, refused: Mapping[str, str]) -> str:
    target = store.target
    said = "; ".join(f"{key}: {reason}" for key, reason in refused.items())
    return f"{target.service}: {target.host}/{target.bucket} did not delete {said}"
