"""Promotion, reconciling, rescue, forgetting: what happens without anybody asking for it."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.queue.composition import compose_for_tests, settings_for, working
from tests.queue.site import Site
from tests.support.wait import wait_until_async

DEAD = "update media_worker.workers set last_heartbeat_at = now() - interval '1 hour'"


def claim(site: Site, *ids: UUID) -> UUID:
    """Have a worker that is alive take the rows; returns its id."""
    worker = uuid4()
    site.sql("select media_worker.beat(%s, 'host', 1, '1', array['maintenance'], 1)", worker)
    site.sql("select media_worker.claim('test', %s, %s, %s)", list(ids), worker, uuid4())
    return worker


def rescue(site: Site) -> int:
    return int(site.one("select media_worker.rescue()"))


# Promotion ----------------------------------------------------------------------------------------


def test_rows_that_have_fallen_due_are_queued(site: Site) -> None:
    site.sql(
        "insert into test_work (next_attempt_at)"
        " select now() + make_interval(mins => n) from unnest(array[-2, -1, 1]) as n"
    )
    assert site.one("select media_worker.promote()") == 2
    due = site.sql("select id from test_work where next_attempt_at is null")
    assert sorted(site.queued()) == sorted(row["id"] for row in due)
    assert site.one("select media_worker.promote()") == 0


def test_promotion_passes_over_what_the_application_holds(site: Site) -> None:
    site.sql("insert into test_work (next_attempt_at) select now() from generate_series(1, 2)")
    with site.transaction() as transaction:
        transaction.execute("select from test_work limit 1 for update")
        assert site.one("select media_worker.promote()") == 1
    assert site.one("select media_worker.promote()") == 1


# Reconciling --------------------------------------------------------------------------------------

LOSSES = {
    "jobs deleted": "delete from procrastinate.procrastinate_jobs",
    "queue truncated": "truncate procrastinate.procrastinate_jobs cascade",
    "jobs failed": "update procrastinate.procrastinate_jobs set status = 'failed'",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
async def test_rows_whose_jobs_were_lost_are_woken(site: Site, loss: str) -> None:
    rows = site.insert("ok", "ok", "ok")
    site.sql(loss)
    async with working(compose_for_tests(settings_for(site.url))):
        for row in rows:
            await site.becomes(row, status="completed")


async def test_rows_inserted_without_triggers_are_woken(site: Site) -> None:
    with site.transaction() as transaction:
        transaction.execute("set local session_replication_role = replica")
        transaction.execute("insert into test_work select from generate_series(1, 250)")
    assert site.jobs() == []
    async with working(compose_for_tests(settings_for(site.url))):
        await wait_until_async(
            lambda: site.one("select bool_and(status = 'completed') from test_work")
        )


def test_rows_that_a_job_names_are_not_woken_again(site: Site) -> None:
    site.insert("ok", "ok")
    assert site.one("select media_worker.reconcile()") == 0
    site.sql("update procrastinate.procrastinate_jobs set status = 'doing'")
    assert site.one("select media_worker.reconcile()") == 0


def test_row_whose_job_was_taken_long_ago_is_woken(site: Site) -> None:
    (row,) = site.insert()
    site.sql("update procrastinate.procrastinate_jobs set status = 'doing'")
    site.sql("update test_work set updated_at = now() - interval '3 minutes'")
    assert site.one("select media_worker.reconcile()") == 1
    assert site.queued() == [row, row]


def test_reconciler_leaves_alone_what_an_open_transaction_holds(site: Site) -> None:
    site.insert("ok", "ok")
    site.sql("delete from procrastinate.procrastinate_jobs")
    with site.transaction() as transaction:
        transaction.execute("select from test_work limit 1 for update")
        assert site.one("select media_worker.reconcile()") == 1
    assert site.one("select media_worker.reconcile()") == 1


def test_kind_whose_table_is_gone_stops_no_other(site: Site) -> None:
    site.sql("create table gone_work (like media_worker.work_template)")
    site.sql(
        "insert into media_worker.work_kinds values ('a gone one', 'gone_work', 'sync', 'gone', 1)"
    )
    site.sql("drop table gone_work")
    (row,) = site.insert()
    claim(site, row)
    site.shorten_lease(seconds=0)
    assert rescue(site) == 1
    site.sql("delete from procrastinate.procrastinate_jobs")
    assert site.one("select media_worker.reconcile()") == 1
    assert site.one("select media_worker.promote()") == 0
    assert [notice for notice in site.notices if "a gone one failed" in notice]


# Rescue -------------------------------------------------------------------------------------------


def test_rows_of_a_dead_worker_are_given_back_at_once(site: Site) -> None:
    rows = site.insert("ok", "ok")
    claim(site, *rows)
    site.sql("delete from procrastinate.procrastinate_jobs")
    site.sql(DEAD)
    site.shorten_lease(seconds=0)
    assert rescue(site) == 2
    for row in rows:
        assert site.is_(row, status="pending", attempts=0, crashes=1, claim=None, runnable=True)
    assert sorted(site.queued()) == sorted(rows)


def test_rows_of_a_living_worker_are_left_alone(site: Site) -> None:
    (row,) = site.insert()
    claim(site, row)
    assert rescue(site) == 0
    assert site.is_(row, status="processing", crashes=0)


def test_lease_counts_from_the_return_of_the_database(site: Site) -> None:
    (row,) = site.insert()
    claim(site, row)
    site.sql(DEAD)
    age = site.one("select extract(epoch from now() - pg_postmaster_start_time())::float8")
    site.shorten_lease(seconds=age + 60)
    assert rescue(site) == 0
    assert site.one("select count(*) from media_worker.workers") == 1
    site.shorten_lease(seconds=age / 2)
    assert rescue(site) == 1


def test_rows_of_a_worker_that_stopped_in_order_count_no_crash(site: Site) -> None:
    (row,) = site.insert()
    worker = claim(site, row)
    site.sql("select media_worker.leave(%s)", worker)
    assert rescue(site) == 1
    assert site.is_(row, status="pending", attempts=0, crashes=0, runnable=True)


def test_from_the_second_crash_on_a_row_waits_ever_longer(site: Site) -> None:
    (row,) = site.insert()
    site.shorten_lease(seconds=0)
    delays = []
    for _ in range(5):
        site.sql("update test_work set next_attempt_at = null")
        claim(site, row)
        assert rescue(site) == 1
        found = site.sql(
            "select round(extract(epoch from next_attempt_at - updated_at))::integer as delay"
            " from test_work"
        )
        delays.append(found[0]["delay"])
    assert delays == [None, 10, 60, 300, 300]


def test_row_asked_for_again_is_runnable_after_its_worker_died(site: Site) -> None:
    (row,) = site.insert()
    site.sql("update test_work set crashes = 5")
    claim(site, row)
    site.sql("update test_work set status = 'pending'")
    site.shorten_lease(seconds=0)
    assert rescue(site) == 1
    assert site.is_(row, status="pending", attempts=0, crashes=6, runnable=True)


def test_row_ended_by_hand_stays_so_after_its_worker_died(site: Site) -> None:
    (row,) = site.insert()
    claim(site, row)
    site.sql("update test_work set status = 'failed', error_message = 'by hand'")
    site.shorten_lease(seconds=0)
    assert rescue(site) == 1
    assert site.is_(row, status="failed", error_message="by hand", claim=None)


def test_row_marked_as_processing_by_nobody_is_pending_again(site: Site) -> None:
    site.sql("insert into test_work (status) values ('processing')")
    row = site.one("select id from test_work")
    rescue(site)
    assert site.is_(row, status="pending") and site.queued() == [row]


def test_jobs_that_dead_workers_of_the_queue_had_taken_come_back(site: Site) -> None:
    (row,) = site.insert()
    site.sql("insert into procrastinate.procrastinate_workers (last_heartbeat) values (now())")
    taken = "update procrastinate.procrastinate_jobs set status = 'doing', worker_id = "
    site.sql(taken + "(select max(id) from procrastinate.procrastinate_workers)")
    rescue(site)
    assert [job["status"] for job in site.jobs()] == ["doing"]
    site.sql(
        "update procrastinate.procrastinate_workers set last_heartbeat = now() - interval '1 hour'"
    )
    rescue(site)
    assert [job["status"] for job in site.jobs()] == ["todo"]
    site.sql(taken + "null")
    rescue(site)
    assert [(job["status"], job["ids"]) for job in site.jobs()] == [("todo", [str(row)])]


def test_broken_queue_does_not_keep_rows_from_their_rescue(site: Site) -> None:
    (row,) = site.insert()
    claim(site, row)
    site.shorten_lease(seconds=0)
    site.sql("alter table procrastinate.procrastinate_jobs rename to elsewhere")
    assert rescue(site) == 1
    assert site.is_(row, status="pending", runnable=True)


# Leaders and turns --------------------------------------------------------------------------------


@pytest.mark.parametrize("duty", ["rescue", "promote", "reconcile"])
def test_of_two_leaders_one_stands_back(site: Site, duty: str) -> None:
    site.sql("insert into test_work (next_attempt_at) values (now())")
    site.sql("insert into test_work (status) values ('processing')")
    with site.transaction() as transaction:
        transaction.execute("select media_worker.lead(%s)", [duty])
        before = site.sql("select * from test_work order by id")
        assert site.one(f"select media_worker.{duty}()") == 0
        assert site.sql("select * from test_work order by id") == before


def test_turn_is_taken_once_in_its_time(site: Site) -> None:
    turn = "select media_worker.take_turn('dust', interval '1 hour')"
    assert [site.one(turn), site.one(turn)] == [True, False]
    site.sql("update media_worker.periodic_runs set last_run_at = now() - interval '61 minutes'")
    assert [site.one(turn), site.one(turn)] == [True, False]


# Forgetting ---------------------------------------------------------------------------------------


def test_old_ended_work_is_forgotten_but_for_what_is_still_needed(site: Site) -> None:
    site.insert("ok", "keep", "temporary", "busy", "bug")
    site.sql(
        "update test_work set status = case plan when 'busy' then 'pending' else 'completed' end"
    )
    site.sql("update test_work set status = 'failed' where plan = 'temporary'")
    site.sql("update test_work set completed_at = now() - interval '31 days' where plan <> 'bug'")
    assert site.one("select media_worker.forget_work(interval '30 days')") == 2
    left = site.sql("select plan from test_work order by plan")
    assert [row["plan"] for row in left] == ["bug", "busy", "keep"]


def test_ended_jobs_are_forgotten(site: Site) -> None:
    site.insert()
    site.insert()
    site.sql(
        "update procrastinate.procrastinate_jobs set status = 'failed'"
        " where id = (select min(id) from procrastinate.procrastinate_jobs)"
    )
    assert site.one("select media_worker.forget_dead_jobs()") == 1
    assert len(site.jobs()) == 1
