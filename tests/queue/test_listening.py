"""How soon a job is seen."""

from __future__ import annotations

import time

import pytest

from tests.queue.composition import compose_for_tests, settings_for, working
from tests.queue.site import Site
from tests.support.wait import wait_until_async
from worker.queue import wakeups


async def run_one(site: Site) -> float:
    """Seconds until a row that is inserted now has ended."""
    began = time.monotonic()
    (row,) = site.insert()
    await site.becomes(row, status="completed")
    return time.monotonic() - began


async def test_job_is_seen_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "POLLING_SECONDS", 3600.0)
    app = compose_for_tests(settings_for(site.url), every=3600)
    async with working(app):
        await run_one(site)
        assert max([await run_one(site) for _ in range(5)]) < 2


async def test_worker_that_no_longer_listens_polls(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: object, **__: object) -> None:
        await wait_until_async(lambda: False, timeout=3600)

    monkeypatch.setattr("worker.queue.connector.QueueConnector.listen_notify", deaf)
    async with working(compose_for_tests(settings_for(site.url), every=3600)):
        assert await run_one(site) < 5


async def test_worker_survives_the_loss_of_all_its_connections(site: Site) -> None:
    async with working(compose_for_tests(settings_for(site.url), every=3600)):
        await run_one(site)
        for _ in range(3):
            site.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            assert await run_one(site) < 5
