"""Reads objects and compares their bytes with what was sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor

from worker.check.buckets.model import Expected, Pair
from worker.check.buckets.places import Place
from worker.errors import WorkError
from worker.storage import NoSuchObject

AT_ONCE = 4


async def differing(place: Place, pairs: Sequence[Pair], executor: Executor) -> list[Expected]:
    """Rows whose object has other bytes. Reads a few objects at a time, in blocks.

    Raises the storage's errors; what vanishes or is replaced meanwhile is left to the next check.
    """
    loop, room = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def read(pair: Pair) -> Expected | None:
        row = pair.rows[0]
        async with room:
            sha256 = await loop.run_in_executor(executor, _sha256, place, pair)
        return row if sha256 is not None and sha256 != row.sha256 else None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(read(pair)) for pair in pairs if _can_be_read(pair)]
    except* WorkError as failed:
        raise failed.exceptions[0] from None
    return [row for task in tasks if (row := task.result()) is not None]


def _can_be_read(pair: Pair) -> bool:
    if pair.found is None or not pair.rows:
        return False
    row = pair.rows[0]
    return row.standing == "wanted" and row.state != "intent" and row.sha256 is not None


def _sha256(place: Place, pair: Pair) -> str | None:
    digest = hashlib.sha256()
    try:
        with place.store.download(pair.key) as body:
            if pair.found is None or body.info.etag != pair.found.etag:
                return None
            for block in body:
                digest.update(block)
    except NoSuchObject:
        return None
    return digest.hexdigest()
