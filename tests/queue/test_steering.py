"""Operators: pausing, resuming, retrying."""

from __future__ import annotations

import psycopg
import pytest

from tests.queue.composition import compose_for_tests, settings_for, working
from tests.queue.site import Site
from tests.support.wait import wait_until_async


async def test_paused_queue_takes_no_work_until_it_is_resumed(site: Site) -> None:
    async with working(compose_for_tests(settings_for(site.url), without=["reconcile"])):
        site.sql("select pause_queue('maintenance')")
        rows = site.insert("ok", "ok")
        await wait_until_async(lambda: site.jobs() == [])
        assert all(site.is_(row, status="pending", attempts=0) for row in rows)
        site.sql("select resume_queue('maintenance')")
        for row in rows:
            await site.becomes(row, status="completed")


async def test_what_runs_at_the_pause_is_finished(site: Site) -> None:
    async with working(compose_for_tests(settings_for(site.url))):
        (row,) = site.insert("wait")
        await site.becomes(row, status="processing")
        site.sql("select pause_queue('maintenance')")
        site.sql("update test_work set plan = 'ok'")
        await site.becomes(row, status="completed")


async def test_pause_until_a_time_ends_by_itself(site: Site) -> None:
    async with working(compose_for_tests(settings_for(site.url), every=0.05)):
        site.sql("select pause_queue('maintenance', clock_timestamp() + interval '0.5 s')")
        (row,) = site.insert()
        await wait_until_async(lambda: site.jobs() == [])
        assert site.is_(row, status="pending")
        await site.becomes(row, status="completed")
    assert site.one("select count(*) from media_worker.paused_queues") == 0


def test_pause_of_one_queue_leaves_the_others_alone(site: Site) -> None:
    site.sql("select pause_queue('archive')")
    site.insert()
    assert site.one("select media_worker.count_runnable(array['test'])") == 1
    site.sql("select pause_queue('maintenance')")
    assert site.one("select media_worker.count_runnable(array['test'])") == 0


def test_second_pause_replaces_the_first(site: Site) -> None:
    site.sql("select pause_queue('maintenance', now() + interval '1 hour')")
    site.sql("select pause_queue('maintenance')")
    assert site.sql("select queue, until from media_worker.paused_queues") == [
        {"queue": "maintenance", "until": None}
    ]


def test_claim_beside_an_uncommitted_resume_leaves_no_row_behind(site: Site) -> None:
    site.sql("select pause_queue('maintenance')")
    (row,) = site.insert()
    with site.transaction() as transaction:
        transaction.execute("select resume_queue('maintenance')")
        claimed = site.sql(
            "select id, held from media_worker.claim('test', %s, %s, %s)", [row], row, row
        )
    assert claimed == [{"id": row, "held": False}]


def test_resume_wakes_what_a_worker_looked_at_during_the_pause(site: Site) -> None:
    site.sql("select pause_queue('maintenance')")
    (row,) = site.insert()
    site.sql("update procrastinate.procrastinate_jobs set status = 'doing'")
    site.sql("select resume_queue('maintenance')")
    assert [(job["status"], job["ids"]) for job in site.jobs()] == [
        ("doing", [str(row)]),
        ("todo", [str(row)]),
    ]


def test_resume_of_a_queue_that_is_not_paused_is_no_error(site: Site) -> None:
    site.insert()
    before = site.jobs()
    site.sql("select resume_queue('maintenance')")
    assert site.jobs() == before


def test_retry_failed_starts_every_failed_row_anew(site: Site) -> None:
    failed = site.insert(*["ok"] * 3)
    site.sql("update test_work set status = 'failed', attempts = 9, error_message = 'broken'")
    site.insert()
    assert site.one("select retry_failed('maintenance')") == 3
    for row in failed:
        assert site.is_(row, status="pending", attempts=0, error_message=None, runnable=True)
    assert site.one("select retry_failed('maintenance')") == 0
    assert site.one("select retry_failed('archive')") == 0


@pytest.mark.parametrize("queue", ["nothing", "", "Archive", None])
@pytest.mark.parametrize("call", ["pause_queue", "resume_queue", "retry_failed"])
def test_unknown_queue_is_an_error_that_names_the_queues(
    site: Site, call: str, queue: str | None
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown queue") as refused:
        site.sql(f"select {call}(%s)", queue)
    assert "archive, cdn, cleanup, sync and maintenance" in (refused.value.diag.message_hint or "")


def test_pause_until_the_past_is_an_error(site: Site) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="has passed already"):
        site.sql("select pause_queue('archive', now() - interval '1 s')")
