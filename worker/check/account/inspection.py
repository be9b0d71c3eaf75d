"""Looks through the Cloudinary account: page by page, and then for what was on none of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Protocol, TypeVar

from worker.check.account.judgement import judge, missing, repair_of
from worker.check.account.model import Asset, AssetRow, Suspicion
from worker.check.inspection import BATCH, Inspection, Progress
from worker.check.model import Kind, Options
from worker.cloudinary import Limited, Refused
from worker.cloudinary.documents import RESOURCE_TYPES, TYPES, Document
from worker.cloudinary.library import Page
from worker.errors import Busy

LISTINGS = tuple(product(RESOURCE_TYPES, TYPES))
# How often a listing is begun anew whose cursor has expired: what it shows is seen twice then.
MOST_RESTARTS = 3

T = TypeVar("T")


class Library(Protocol):
    """The account, to be read."""

    async def page(
        self, resource_type: str, type: str, *, size: int, cursor: str | None
    ) -> Page: ...
    async def look(
        self, resource_type: str, type: str, public_ids: Collection[str]
    ) -> list[Document]: ...


class Rows(Protocol):
    """What the database says of assets, and where repairs are begun (see `OUTCOMES`)."""

    async def seen(
        self, assets: Sequence[Asset], cut_off: datetime
    ) -> Sequence[Sequence[AssetRow]]: ...
    def unseen(self, cut_off: datetime) -> AsyncIterator[Sequence[AssetRow]]: ...
    async def still_wanted(
        self, rows: Sequence[AssetRow], cut_off: datetime
    ) -> Sequence[AssetRow]: ...
    async def mend(self, row: AssetRow, finding: str, cut_off: datetime) -> str: ...
    async def delete(self, asset: Asset) -> str: ...


class AccountInspection(Inspection[Suspicion]):
    """Asks for as little as can be: a call for each page, and one for a hundred absent assets.

    The account lists in no order that rows have. So rows whose assets were on a page are marked in
    the database, and the rest are looked for by name.
    """

    container = "account"

    def __init__(
        self,
        name: str,
        rows: Rows,
        library: Library,
        *,
        cut_off: datetime,
        options: Options,
        patience: float,
        progress: Progress,
    ) -> None:
        """What was touched after `cut_off` is no finding; `patience` is in seconds."""
        super().__init__(name, options, progress)
        self._rows = rows
        self._library = library
        self._cut_off = cut_off
        self._patience = patience

    async def batches(self) -> AsyncIterator[Sequence[Suspicion]]:
        """See `Inspection`."""
        for resource_type, type in LISTINGS:
            async for page in self._pages(resource_type, type):
                yield await self._judged(page)
        async for rows in self._rows.unseen(self._cut_off):
            yield await self._absent(rows)

    def repair_of(self, kind: Kind) -> str:
        """See `Inspection`."""
        return repair_of(kind)

    async def mend(self, suspicion: Suspicion) -> Sequence[str]:
        """See `Inspection`: workers look at the assets again before they do anything."""
        if suspicion.kind == "orphan" and suspicion.asset is not None:
            return [await self._rows.delete(suspicion.asset)]
        return [await self._rows.mend(row, suspicion.kind, self._cut_off) for row in suspicion.rows]

    async def _pages(self, resource_type: str, type: str) -> AsyncIterator[Sequence[Asset]]:
        cursor, restarts = None, 0
        while True:
            try:
                page = await self._page(resource_type, type, cursor)
            except Refused:
                if cursor is None or restarts == MOST_RESTARTS:
                    raise
                cursor, restarts = None, restarts + 1
                continue
            yield [Asset.of(each) for each in page.assets]
            if not page.cursor:
                return
            cursor = page.cursor

    async def _page(self, resource_type: str, type: str, cursor: str | None) -> Page:
        return await self._within_limit(
            lambda: self._library.page(resource_type, type, size=BATCH, cursor=cursor)
        )

    async def _judged(self, page: Sequence[Asset]) -> list[Suspicion]:
        self.report.objects += len(page)
        found = await self._rows.seen(page, self._cut_off)
        self.known += sum(row.standing == "wanted" for rows in found for row in rows)
        judged = [
            judge(asset, rows, cut_off=self._cut_off)
            for asset, rows in zip(page, found, strict=True)
        ]
        return [suspicion for suspicion in judged if suspicion is not None]

    async def _absent(self, rows: Sequence[AssetRow]) -> list[Suspicion]:
        """Those whose assets are not there by name either, and that want them still."""
        self.known += len(rows)
        wanted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            for resource_type in row.resource_types:
                wanted[resource_type, row.type].add(row.public_id)
        there = set()
        for (resource_type, type), public_ids in wanted.items():
            there |= await self._there(resource_type, type, public_ids)
        absent = [row for row in rows if there.isdisjoint(_names(row))]
        return [missing(row) for row in await self._rows.still_wanted(absent, self._cut_off)]

    async def _there(self, resource_type: str, type: str, public_ids: set[str]) -> set[str]:
        found = await self._within_limit(
            lambda: self._library.look(resource_type, type, sorted(public_ids))
        )
        return {f"{resource_type}/{type}/{asset['public_id']}" for asset in found}

    async def _within_limit(self, call: Callable[[], Awaitable[T]]) -> T:
        """What the call answers, once the account's rate limit lets it. Raises `Busy`."""
        while True:
            try:
                return await call()
            except Limited as limited:
                if limited.retry_after > self._patience:
                    raise self._exhausted(limited.retry_after) from limited
                await asyncio.sleep(limited.retry_after)

    def _exhausted(self, seconds: float) -> Busy:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        return Busy(
            f"not looked through to the end: Cloudinary's rate limit leaves no calls until"
            f" {at:%H:%M:%S} UTC. Check again then; nothing is repaired there until it was",
            retry_after=seconds,
        )


def _names(row: AssetRow) -> set[str]:
    return {f"{each}/{row.type}/{row.public_id}" for each in row.resource_types}
