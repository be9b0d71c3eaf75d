"""The queue's worker: registered, listening, and anew where either has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from tests.queue.site import Site
from tests.support.wait import wait_until_async
from worker.queue import wakeups
from worker.queue.connector import QueueConnector
from worker.queue.model import Claimed, Outcome, WorkKind, one_by_one
from worker.queue.wakeups import Wakeups

REGISTERED = "select array_agg(id order by id) from procrastinate.procrastinate_workers"


async def never(work: Claimed) -> Outcome:
    raise AssertionError("nothing is claimed here")


async def wake(kind: WorkKind, ids: Sequence[UUID]) -> None:
    raise AssertionError("there is no job")


KIND = WorkKind("test", "maintenance", "test.work", one_by_one(never), 3)


@asynccontextmanager
async def listening(site: Site, *kinds: WorkKind) -> AsyncIterator[asyncio.Task[None]]:
    listener = Wakeups(
        lambda: QueueConnector(site.url, call_timeout=0.5), kinds, wake, concurrency=1
    )
    life = asyncio.create_task(listener.run())
    try:
        yield life
    finally:
        listener.stop()
        await life


async def test_registration_whose_heartbeat_broke_is_made_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "STALLED_SECONDS", 0.6)

    async def registered(*ids: int) -> bool:
        return bool(site.one(REGISTERED) == list(ids))

    async with listening(site, KIND):
        await wait_until_async(lambda: registered(1), message="the registration")
        with site.transaction() as transaction:
            transaction.execute("select from procrastinate.procrastinate_workers for update")
            await asyncio.sleep(1.0)  # longer than a heartbeat may take
        await wait_until_async(lambda: registered(2), message="another registration")


async def test_worker_without_work_does_not_register(site: Site) -> None:
    async with listening(site) as life:
        await life
    assert site.one(REGISTERED) is None
