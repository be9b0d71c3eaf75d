"""From a change of a row to its job: no worker runs here."""

from __future__ import annotations

import psycopg
import pytest

from tests.queue.site import Site


class Undo(Exception):
    """Rolls a test's transaction back."""


def test_inserted_row_has_its_job_in_the_same_transaction(site: Site) -> None:
    with site.transaction() as transaction:
        transaction.execute("insert into test_work default values")
        assert site.jobs() == []
        inside = transaction.execute("select count(*) from procrastinate.procrastinate_jobs")
        assert inside.fetchall() == [{"count": 1}]
    assert site.queued() == [site.one("select id from test_work")]


def test_rollback_leaves_neither_row_nor_job(site: Site) -> None:
    with pytest.raises(Undo), site.transaction() as transaction:
        transaction.execute("insert into test_work default values")
        raise Undo
    assert (site.one("select count(*) from test_work"), site.jobs()) == (0, [])


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_row_that_has_ended_is_not_queued(site: Site, status: str) -> None:
    site.sql("insert into test_work (status) values (%s)", status)
    assert site.jobs() == []


def test_row_for_later_is_not_queued(site: Site) -> None:
    site.sql("insert into test_work (next_attempt_at) values (now() + interval '1 day')")
    assert site.jobs() == []


@pytest.mark.parametrize("also", ["", ", updated_at = now()", ", updated_at = null"])
def test_ended_row_set_to_pending_starts_anew(site: Site, also: str) -> None:
    (row,) = site.insert()
    site.sql("delete from procrastinate.procrastinate_jobs")
    site.sql(
        "update test_work set status = 'failed', attempts = 7, crashes = 2, crashes_alone = 1,"
        " error_message = 'it broke', started_at = now()"
    )
    site.sql(f"update test_work set status = 'pending'{also} where status = 'failed'")
    found = site.row(row)
    assert (found["attempts"], found["crashes"], found["crashes_alone"]) == (0, 0, 0)
    assert found["error_message"] is found["next_attempt_at"] is found["completed_at"] is None
    assert site.queued() == [row]


def test_pending_row_that_waits_is_tried_now_when_it_is_set_to_pending(site: Site) -> None:
    site.sql(
        "insert into test_work (next_attempt_at, attempts, error_message)"
        " values (now() + interval '1 day', 2, 'it broke')"
    )
    row = site.one("select id from test_work")
    site.sql("update test_work set wanted = wanted + 1")
    assert site.jobs() == []
    site.sql("update test_work set status = 'pending'")
    assert site.queued() == [row]
    found = site.row(row)
    assert (found["attempts"], found["error_message"], found["next_attempt_at"]) == (0, None, None)


def test_pending_again_at_a_time_of_the_users_own_waits_for_it(site: Site) -> None:
    (row,) = site.insert()
    site.sql("update test_work set status = 'completed'")
    site.sql("delete from procrastinate.procrastinate_jobs")
    site.sql("update test_work set status = 'pending', next_attempt_at = now() + interval '1 day'")
    assert site.row(row)["next_attempt_at"] is not None
    assert site.jobs() == []


def test_processing_is_refused_with_a_hint(site: Site) -> None:
    site.insert()
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="workers only") as refused:
        site.sql("update test_work set status = 'processing'")
    assert refused.value.diag.message_hint == "Set it to pending to have the work done."


def test_update_that_asks_for_nothing_queues_nothing(site: Site) -> None:
    site.insert("ok", "ok")
    before = site.jobs()
    site.sql("update test_work set wanted = 2")
    site.sql("update test_work set status = 'pending'")
    assert site.jobs() == before


def test_upsert_queues_what_it_inserts_and_what_it_makes_pending(site: Site) -> None:
    done, open_ = site.insert("ok", "ok")
    site.sql("update test_work set status = 'completed' where id = %s", done)
    site.sql("delete from procrastinate.procrastinate_jobs")
    site.sql(
        "insert into test_work (id) values (%s), (%s), (gen_random_uuid())"
        " on conflict (id) do update set status = 'pending', next_attempt_at = null",
        done,
        open_,
    )
    queued = site.queued()
    assert len(queued) == 2
    assert done in queued and open_ not in queued


def test_bulk_insert_makes_jobs_of_a_hundred_rows_nearest_first(site: Site) -> None:
    site.sql(
        "insert into test_work (due_by) select now() + make_interval(mins => (n * 7919) % 10000)"
        " from generate_series(1, 10000) as n"
    )
    jobs = site.jobs()
    assert [len(job["ids"]) for job in jobs] == [100] * 100
    assert [job["id"] for job in jobs] == sorted(job["id"] for job in jobs)
    wanted = site.sql("select id from test_work order by due_by, id")
    assert site.queued() == [row["id"] for row in wanted]


def test_rows_that_go_alone_have_a_job_each_nearest_first(site: Site) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 1 where kind = 'test'")
    site.sql(
        "insert into test_work (due_by) select now() + make_interval(mins => (n * 7919) % 10000)"
        " from generate_series(1, 10000) as n"
    )
    assert len(site.jobs()) == 10_000
    wanted = site.sql("select id from test_work order by due_by, id")
    assert site.queued() == [row["id"] for row in wanted]


def test_row_that_becomes_urgent_has_a_job_of_its_new_priority(site: Site) -> None:
    (row,) = site.insert()
    site.sql("update test_work set due_by = now() - interval '1 day'")
    first, second = site.jobs()
    assert first["priority"] > second["priority"]
    assert first["ids"] == second["ids"] == [str(row)]


@pytest.mark.parametrize(
    "break_queue",
    [
        "alter table procrastinate.procrastinate_jobs rename to elsewhere",
        "delete from media_worker.work_kinds where kind = 'test'",
        "alter function procrastinate.procrastinate_defer_jobs_v1 rename to elsewhere",
    ],
)
def test_broken_queue_is_a_warning_and_no_error(site: Site, break_queue: str) -> None:
    site.sql(break_queue)
    site.insert("ok", "ok")
    site.sql("update test_work set status = 'completed'")
    site.sql("update test_work set status = 'pending'")
    assert site.one("select count(*) from test_work where runnable") == 2
    assert [notice for notice in site.notices if "queueing 2 rows failed" in notice]


def test_reconciler_makes_up_for_a_broken_queue(site: Site) -> None:
    site.sql("alter table procrastinate.procrastinate_jobs rename to elsewhere")
    (row,) = site.insert()
    site.sql("alter table procrastinate.elsewhere rename to procrastinate_jobs")
    assert site.one("select media_worker.reconcile()") == 1
    assert site.queued() == [row]
