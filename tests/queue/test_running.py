"""What becomes of a row: one worker in this process, and the application beside it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from uuid import UUID

import pytest

from tests.queue.composition import compose_for_tests, settings_for, working
from tests.queue.site import Site
from tests.support.wait import wait_until_async
from worker.ability import Ability, Capabilities, Tools
from worker.queue.model import Claimed, Done, Failed, Outcome, WorkKind


async def test_capability_needs_a_table_a_trigger_call_and_an_action(site: Site) -> None:
    async with working(compose_for_tests(settings_for(site.url))):
        (row,) = site.insert()
        found = await site.becomes(row, status="completed")
    assert (found["attempts"], found["claim"], found["error_message"]) == (1, None, None)
    assert found["started_at"] <= found["completed_at"]
    assert site.jobs() == []


async def test_failing_row_harms_no_neighbour(site: Site) -> None:
    plans = ("ok", "bug", "permanent", "noted", "pointless", "unprintable", "ok")
    rows = site.insert(*plans)
    settings = settings_for(site.url, retry_delays=(3600.0,))
    async with working(compose_for_tests(settings)):
        for row in rows:
            await wait_until_async(lambda row=row: site.runs(row) and site.is_(row, claim=None))
    found = [(site.row(row)["status"], site.row(row)["error_message"]) for row in rows]
    assert found == [
        ("completed", None),
        ("pending", "unexpected error (ZeroDivisionError): the worker's log has the details"),
        ("failed", "it is broken: mend it"),
        ("completed", "a note"),
        ("completed", "cancelled: nobody wants it any more"),
        ("failed", "it said  and ?"),
        ("completed", None),
    ]


async def test_temporary_errors_count_up_to_the_last_try(site: Site) -> None:
    (row,) = site.insert("temporary")
    async with working(compose_for_tests(settings_for(site.url), every=10)):
        found = await site.becomes(row, status="failed")
    assert found["error_message"] == "gave up after 3 tries: the provider answers 503"
    began = [run["began_at"] for run in site.runs(row)]
    gaps = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(began)]
    assert [run["attempts"] for run in site.runs(row)] == [1, 2, 3]
    # the delays are 0.1 and 0.2 s, jittered; duties come every 10 s: timers have brought them in
    assert gaps[0] >= 0.075 and gaps[1] >= 0.15 and sum(gaps) < 5


async def test_busy_is_tried_again_without_counting(site: Site) -> None:
    (row,) = site.insert("busy")
    async with working(compose_for_tests(settings_for(site.url), every=10)):
        await wait_until_async(lambda: len(site.runs(row)) >= 4)
        site.sql("update test_work set plan = 'ok'")
        found = await site.becomes(row, status="completed")
    assert {run["attempts"] for run in site.runs(row)} == {1}
    assert found["attempts"] == 1


async def test_lost_claim_that_is_not_lost_is_given_back(site: Site) -> None:
    (row,) = site.insert("lost")
    async with working(compose_for_tests(settings_for(site.url))):
        await wait_until_async(lambda: site.runs(row))
        site.sql("update test_work set plan = 'ok'")
        found = await site.becomes(row, status="completed")
    assert found["attempts"] == 1


async def test_asked_again_during_its_run_runs_exactly_once_more(site: Site) -> None:
    (row,) = site.insert("wait")
    async with working(compose_for_tests(settings_for(site.url), every=10)):
        await site.becomes(row, status="processing")
        for wanted in (2, 3, 4):
            site.sql("update test_work set status = 'pending', wanted = %s", wanted)
        assert site.row(row)["claim"] is not None
        site.sql("update test_work set plan = 'ok'")
        await site.becomes(row, status="completed")
        await wait_until_async(lambda: site.jobs() == [])
    assert [run["wanted"] for run in site.runs(row)] == [1, 4]
    assert site.row(row)["attempts"] == 1


async def test_failure_of_a_run_during_which_it_was_asked_again_is_forgotten(site: Site) -> None:
    (row,) = site.insert("wait")
    async with working(compose_for_tests(settings_for(site.url), every=10)):
        await site.becomes(row, status="processing")
        with site.transaction() as transaction:
            transaction.execute("update test_work set status = 'pending'")
            transaction.execute("update test_work set plan = 'permanent'")
        await site.becomes(row, status="failed")
    assert len(site.runs(row)) == 2


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("plan", ["ok", "temporary", "outage", "permanent", "busy"])
async def test_status_set_by_hand_during_a_run_stays(site: Site, status: str, plan: str) -> None:
    (row,) = site.insert("wait")
    async with working(compose_for_tests(settings_for(site.url))):
        await site.becomes(row, status="processing")
        site.sql("update test_work set status = %s, error_message = 'by hand'", status)
        ended_at = site.row(row)["completed_at"]
        site.sql("update test_work set plan = %s", plan)
        found = await site.becomes(row, claim=None)
    assert (found["status"], found["error_message"]) == (status, "by hand")
    assert (found["completed_at"], found["parked"]) == (ended_at, False)
    assert found["next_attempt_at"] is None and len(site.runs(row)) == 1


async def test_row_deleted_during_its_run_is_no_error(site: Site) -> None:
    gone, other = site.insert("wait", "ok")
    app = compose_for_tests(settings_for(site.url))
    async with working(app):
        await wait_until_async(lambda: site.runs(gone) or site.runs(other))
        site.sql("delete from test_work where id = %s", gone)
        await site.becomes(other, status="completed")
        await wait_until_async(lambda: app.kernel.running == 0)
    assert site.jobs() == []


async def test_result_that_cannot_be_recorded_is_tried_again(site: Site) -> None:
    refused, other = site.insert("ok", "noted")
    site.sql(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$"
    )
    site.sql(
        "create trigger refuse before update on test_work for each row"
        " when (new.status = 'completed' and new.plan = 'ok') execute function refuse()"
    )
    settings = settings_for(site.url, retry_delays=(0.1,))
    async with working(compose_for_tests(settings)):
        await wait_until_async(lambda: len(site.runs(refused)) >= 2)
        assert "could not be recorded" in site.row(refused)["error_message"]
        site.sql("drop trigger refuse on test_work")
        await site.becomes(refused, status="completed")
        await site.becomes(other, status="completed")


async def test_row_held_by_an_open_transaction_runs_after_its_commit(site: Site) -> None:
    app = compose_for_tests(settings_for(site.url), without=["reconcile"])
    async with working(app):
        with site.transaction() as transaction:
            held = site.insert(*["ok"] * 5)
            transaction.execute("select from test_work for update")
            site.sql("select pg_notify('procrastinate_any_queue_v1', '{}')")
            (free,) = site.insert()
            await site.becomes(free, status="completed")
            assert not any(site.runs(row) for row in held)
            transaction.execute("update test_work set wanted = 2 where id = any (%s)", [held])
        for row in held:
            await site.becomes(row, status="completed")
    assert {run["wanted"] for row in held for run in site.runs(row)} == {2}


async def test_rows_that_are_held_for_long_make_no_storm_of_jobs(site: Site) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 1 where kind = 'test'")
    held = site.insert(*["ok"] * 100)
    deferred = "select last_value from procrastinate.procrastinate_jobs_id_seq"
    with site.transaction() as transaction:
        transaction.execute("select from test_work for update")
        async with working(compose_for_tests(settings_for(site.url), every=0.05)):
            await wait_until_async(lambda: site.jobs() == [])
            before = site.one(deferred)
            for _ in range(5):
                (free,) = site.insert()
                await site.becomes(free, status="completed")
            assert site.one(deferred) == before + 5
            transaction.execute("commit")
            for row in held:
                await site.becomes(row, status="completed")


def acting(**changes: object) -> Capabilities:
    """The capability with another kind of action."""

    def capabilities(_tools: Tools) -> Sequence[Ability]:
        values = {"max_attempts": 1, **changes}
        return [Ability(kinds=(WorkKind("test", "maintenance", "test.work", **values),))]  # type: ignore[arg-type]

    return capabilities


async def test_bug_in_an_action_for_sets_counts_as_a_try_of_each_row(site: Site) -> None:
    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Outcome]:
        raise ZeroDivisionError

    rows = site.insert("ok", "ok")
    app = compose_for_tests(settings_for(site.url), capabilities=acting(act=act))
    async with working(app):
        for row in rows:
            found = await site.becomes(row, status="failed")
            assert "unexpected error (ZeroDivisionError)" in found["error_message"]


async def test_row_of_which_an_action_says_nothing_is_a_failed_try(site: Site) -> None:
    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Outcome]:
        return {works[0].id: Done()}

    site.insert("ok", "ok")
    app = compose_for_tests(settings_for(site.url), capabilities=acting(act=act))
    async with working(app):
        await wait_until_async(
            lambda: site.one("select bool_and(claim is null and not runnable) from test_work")
        )
    ended = site.sql("select status, error_message from test_work order by status")
    assert [row["status"] for row in ended] == ["completed", "failed"]
    assert "did not say what came of it" in ended[1]["error_message"]


async def test_failure_whose_own_ending_breaks_is_a_failure_all_the_same(site: Site) -> None:
    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Outcome]:
        return {work.id: Failed("it is broken") for work in works}

    async def on_failure(work: Claimed, message: str) -> None:
        raise ZeroDivisionError

    (row,) = site.insert()
    capabilities = acting(act=act, on_failure=on_failure)
    async with working(compose_for_tests(settings_for(site.url), capabilities=capabilities)):
        found = await site.becomes(row, status="failed")
    assert found["error_message"] == "it is broken"


async def test_run_that_takes_too_long_gives_its_row_up(site: Site) -> None:
    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Outcome]:
        await wait_until_async(lambda: False, timeout=60)
        return {}

    (row,) = site.insert()
    capabilities = acting(act=act, run_seconds=0.1)
    async with working(compose_for_tests(settings_for(site.url), capabilities=capabilities)):
        found = await site.becomes(row, status="failed")
    assert "gave up after" in found["error_message"]
