"""Both sides of a comparison, in the byte order of their keys, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from itertools import islice

from botocore.parsers import ResponseParserError

from worker.check.buckets.model import Expected, Pair
from worker.check.buckets.places import Place
from worker.errors import Outage
from worker.storage import ObjectInfo

PAGE = 1000


async def listed(place: Place, executor: Executor) -> AsyncIterator[ObjectInfo]:
    """What the bucket says is there. Raises the storage's errors, and `Outage` for a listing
    that makes no sense: from that nobody may conclude that something is missing.
    """
    loop = asyncio.get_running_loop()
    objects = place.store.list(place.prefix)
    last = ""
    while page := await loop.run_in_executor(executor, _page, place, objects):
        for found in page:
            if found.key <= last or not found.key.startswith(place.prefix):
                raise _senseless(place, "its keys are not in byte order below the prefix")
            last = found.key
            yield found


async def paired(
    expected: AsyncIterator[Expected], found: AsyncIterator[ObjectInfo]
) -> AsyncIterator[Pair]:
    """Every key of either side, once, with all that both sides have of it."""
    row, there = await anext(expected, None), await anext(found, None)
    while row is not None or there is not None:
        key = min(_keys(row, there))
        rows = []
        while row is not None and row.object_key == key:
            rows.append(row)
            row = await anext(expected, None)
        match = None
        if there is not None and there.key == key:
            match, there = there, await anext(found, None)
        yield Pair(key, tuple(rows), match)


def _keys(row: Expected | None, there: ObjectInfo | None) -> Iterator[str]:
    if row is not None:
        yield row.object_key
    if there is not None:
        yield there.key


def _page(place: Place, objects: Iterator[ObjectInfo]) -> list[ObjectInfo]:
    try:
        return list(islice(objects, PAGE))
    except ResponseParserError as error:
        raise _senseless(place, "it is no XML") from error


def _senseless(place: Place, reason: str) -> Outage:
    listing = f"the listing of {place.store.target.host}/{place.bucket}"
    return Outage(place.service, f"{place.service}: {listing} cannot be compared: {reason}")
