"""An outage of the team's own service: everything that needs it waits, one row probes it."""

from __future__ import annotations

from uuid import UUID

from tests.queue.composition import compose_for_tests, settings_for, working
from tests.queue.site import Site
from tests.support.wait import wait_until_async


def needing_storage(site: Site, count: int, plan: str = "outage") -> list[UUID]:
    rows = site.sql(
        "insert into test_work (plan, service) select %s, 'storage' from generate_series(1, %s)"
        " returning id",
        plan, count,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def parked(site: Site, rows: list[UUID]) -> None:
    """Wait until all of them wait for the service."""
    await wait_until_async(
        lambda: site.one("select bool_and(parked) from test_work where id = any (%s)", rows)
    )


def probe_now(site: Site) -> None:
    site.sql("update media_worker.outages set next_probe_at = now()")


async def test_outage_parks_what_needs_the_service_and_nothing_else(site: Site) -> None:
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings)):
        rows = needing_storage(site, 3)
        await parked(site, rows)
        late = needing_storage(site, 2)
        await parked(site, late)
        (other,) = site.insert()
        await site.becomes(other, status="completed")
    assert [len(site.runs(row)) for row in late] == [0, 0]
    found = site.row(rows[0])
    assert (found["attempts"], found["status"]) == (0, "pending")
    assert found["error_message"] == "the storage answers 503"
    outage = site.sql("select service, message from media_worker.outages")
    assert outage == [{"service": "storage", "message": "the storage answers 503"}]


async def test_one_row_at_a_time_probes(site: Site) -> None:
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings, every=0.05)):
        rows = needing_storage(site, 4)
        await parked(site, rows)
        before = site.one("select count(*) from test_runs")
        for probes in (1, 2, 3):
            probe_now(site)
            await wait_until_async(
                lambda probes=probes: site.one("select probes from media_worker.outages") == probes
            )
            await parked(site, rows)
        assert site.one("select count(*) from test_runs") == before + 3


async def test_probe_delays_follow_the_retry_delays_up_to_a_minute(site: Site) -> None:
    wanted = {0: 5, 1: 10, 2: 60, 3: 60, 9: 60}
    for probes, seconds in wanted.items():
        assert seconds == site.one(
            "select media_worker.probe_delay(array[5, 10, 300, 1800], %s)", probes
        )


async def test_success_wakes_all_that_wait(site: Site) -> None:
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings, every=3600)):
        rows = needing_storage(site, 5)
        await parked(site, rows)
        site.sql("update test_work set plan = 'ok'")
        probe_now(site)
        site.sql("select media_worker.promote()")
        for row in rows:
            await site.becomes(row, status="completed", parked=False)
    assert site.one("select count(*) from media_worker.outages") == 0
    assert {site.row(row)["attempts"] for row in rows} == {1}


async def test_pointless_work_does_not_end_an_outage(site: Site) -> None:
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings)):
        waiting = needing_storage(site, 1)
        await parked(site, waiting)
        (probe,) = needing_storage(site, 1, "pointless")
        probe_now(site)
        site.sql("update test_work set due_by = now() - interval '1 day' where id = %s", probe)
        await site.becomes(probe, status="completed")
        await parked(site, waiting)
    assert site.one("select count(*) from media_worker.outages") == 1


async def test_row_asked_for_again_in_an_outage_waits_too(site: Site) -> None:
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings)):
        rows = needing_storage(site, 1)
        await parked(site, rows)
        runs = len(site.runs(rows[0]))
        site.sql("update test_work set status = 'pending'")
        await parked(site, rows)
        await wait_until_async(lambda: site.jobs() == [])
    assert len(site.runs(rows[0])) == runs
