"""One file on its way to one target: kept, adopted, copied inside the account, or sent."""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from worker.cdn.model import KnownObject, Original, StoredAt
from worker.depot import Depot, Destination, Parcel
from worker.errors import Busy, ClaimLost
from worker.storage import ObjectInfo, ObjectStore, Stored
from worker.storage.ledger import Ledger, Place


@dataclass(frozen=True)
class Means:
    """What files are sent with."""

    depot: Depot
    ledger: Ledger
    executor: Executor


@dataclass(frozen=True)
class Errand:
    """What to bring where, by whose claim; `known`: what the ledger has at that place.

    `overwriting` is called before something that is there is overwritten.
    """

    original: Original
    place: Place
    store: ObjectStore
    cache_control: str
    known: KnownObject | None
    token: UUID
    is_still_ours: Callable[[], Awaitable[bool]]
    overwriting: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class _Wanted:
    """What is to be at the place; `etag`: of the object that has been verified to be just that."""

    bytes: int
    content_type: str
    source_hash: str
    sha256: str | None = None
    md5: str = ""
    etag: str = ""


class Sending:
    """Makes the object at the place agree with the original, with as few bytes as possible.

    `there` is what the target held before (None also when it was not asked).
    """

    def __init__(self, errand: Errand, means: Means) -> None:
        self.there: ObjectInfo | None = None
        self._errand = errand
        self._means = means

    async def run(self, *, look: bool) -> bool:
        """Returns whether anything was sent. `look`: something unknown to us may be there.

        Raises the errors of the original and of `Depot`.
        """
        errand = self._errand
        if look or errand.known:
            self.there = await self._head()
        if await self._is_unchanged():
            return False
        stored = errand.original.stored
        if stored is not None and self._is_near(stored):
            return await self._from_near(stored)
        return await self._from_afar()

    async def _is_unchanged(self) -> bool:
        known, original = self._errand.known, self._errand.original
        if known is None or known.source_hash is None or not known.is_really(self.there):
            return False
        return await original.is_still(known.source_hash)

    def _is_near(self, stored: StoredAt) -> bool:
        """Whether its bytes need not pass through this machine."""
        md5 = stored.info.md5
        same_bytes = self.there is not None and md5 != "" and self.there.md5 == md5
        return same_bytes or self._in_one_account(stored)

    def _in_one_account(self, stored: StoredAt) -> bool:
        mine, its = self._errand.store.target, stored.store.target
        same_place = mine.endpoint.rstrip("/") == its.endpoint.rstrip("/")
        return same_place and mine.access_key_id == its.access_key_id

    async def _from_near(self, stored: StoredAt) -> bool:
        errand, info = self._errand, stored.info
        kind = await errand.original.recognised()
        source_hash = errand.original.source_hash or ""
        wanted = _Wanted(info.size, kind, source_hash, md5=info.md5)
        if await self._is_adopted(wanted):
            return False
        if not self._in_one_account(stored):
            return await self._from_afar()
        await self._before_write()
        await self._means.depot.copy(self._destination(kind, source_hash), stored.store, info.key)
        return True

    async def _from_afar(self) -> bool:
        known, goods = self._errand.known, await self._errand.original.goods()
        wanted = _Wanted(
            goods.length, goods.content_type, goods.source_hash, goods.sha256, goods.md5
        )
        if known is not None and known.is_really(self.there) and known.sha256 == goods.sha256:
            if known.source_hash == goods.source_hash:
                return False
            wanted = replace(wanted, etag=known.etag or "")
        if await self._is_adopted(wanted):
            return False
        await self._before_write()
        to = self._destination(goods.content_type, goods.source_hash)
        await self._means.depot.put(Parcel(source=goods.open(), **vars(to)))
        return True

    async def _is_adopted(self, wanted: _Wanted) -> bool:
        """Whether just that is there already; then it is ours from now on."""
        if not self._is_there(wanted, self.there):
            return False
        place, token, ledger = self._errand.place, self._errand.token, self._means.ledger
        source = wanted.source_hash
        if await ledger.reserve(place, source_hash=source, token=token) == "busy":
            raise Busy("another run is writing or deleting the same object")
        confirmed = False
        try:
            # once more: nobody else of us writes there any longer
            there = await self._head()
            if there is None or not self._is_there(wanted, there):
                return False
            facts = Stored(there.size, wanted.sha256, there.etag, wanted.content_type)
            confirmed = await ledger.confirm(place, facts, source_hash=source, token=token)
        finally:
            if not confirmed:
                await ledger.abandon(place, token=token, untouched=True)
        if not confirmed:
            raise ClaimLost("another run has taken the object over")
        return True

    def _is_there(self, wanted: _Wanted, there: ObjectInfo | None) -> bool:
        if there is None:
            return False
        if (there.size, there.content_type) != (wanted.bytes, wanted.content_type):
            return False
        if wanted.etag:
            return there.etag == wanted.etag
        same_bytes = wanted.md5 != "" and there.md5 == wanted.md5
        return same_bytes and there.cache_control == self._errand.cache_control

    def _destination(self, content_type: str, source_hash: str) -> Destination:
        errand = self._errand
        return Destination(
            place=errand.place,
            store=errand.store,
            content_type=content_type,
            cache_control=errand.cache_control,
            source_hash=source_hash,
            token=errand.token,
            is_still_ours=errand.is_still_ours,
        )

    async def _before_write(self) -> None:
        if self.there is not None:
            await self._errand.overwriting()

    async def _head(self) -> ObjectInfo | None:
        look = partial(self._errand.store.head, self._errand.place.key)
        return await get_running_loop().run_in_executor(self._means.executor, look)
