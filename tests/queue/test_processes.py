"""Worker processes: `run --once`, and several on one database."""

from __future__ import annotations

from tests.queue.conftest import Workers
from tests.queue.site import Site
from tests.support.wait import wait_until


def test_once_works_until_nothing_is_due(site: Site, workers: Workers) -> None:
    rows = site.insert(*["ok"] * 250)
    site.sql("insert into test_work (next_attempt_at) values (now() + interval '1 hour')")
    assert workers.begin("--once", "--sets").wait() == 0
    assert all(site.is_(row, status="completed") for row in rows)
    assert site.one("select count(*) from test_work where status = 'pending'") == 1
    assert site.one("select count(*) from media_worker.workers where stopped_at is null") == 0


def test_once_finds_what_no_job_names(site: Site, workers: Workers) -> None:
    (row,) = site.insert()
    site.sql("truncate procrastinate.procrastinate_jobs cascade")
    assert workers.begin("--once").wait() == 0
    assert site.is_(row, status="completed")


def test_once_leaves_later_retries_where_they_are(site: Site, workers: Workers) -> None:
    (row,) = site.insert("long busy")
    assert workers.begin("--once").wait() == 0
    assert site.is_(row, status="pending", attempts=0)


def test_once_says_by_its_status_that_work_has_failed(site: Site, workers: Workers) -> None:
    failed, fine = site.insert("permanent", "ok")
    assert workers.begin("--once").wait() == 1
    assert site.is_(failed, status="failed") and site.is_(fine, status="completed")
    assert workers.begin("--once").wait() == 0


def test_once_says_so_of_work_that_failed_alone_too(site: Site, workers: Workers) -> None:
    (row,) = site.insert("permanent")
    site.sql("update test_work set crashes = 2")
    assert workers.begin("--once").wait() == 1
    assert site.is_(row, status="failed", error_message="it is broken: mend it")


def test_several_processes_share_the_work_and_no_row_runs_twice(
    site: Site, workers: Workers
) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 5 where kind = 'test'")
    started = [workers.start("--every", "0.1") for _ in range(2)]
    for _ in range(4):
        rows = site.insert(*["ok"] * 100)
        # every row is named by more jobs than one
        site.sql("select media_worker.requeue('test', %s)", rows)
    done = "select count(*) = 400 from test_work where status = 'completed'"
    wait_until(lambda: site.one(done), timeout=30)
    assert site.one("select count(*) from test_runs") == 400
    by_process = {row["pid"] for row in site.sql("select distinct pid from test_runs")}
    assert by_process == {worker.pid for worker in started}
