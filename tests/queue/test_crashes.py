"""Workers that die, and rows that they die of."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID

from tests.queue.conftest import Workers
from tests.queue.site import Site
from tests.support.wait import wait_until


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return False


def skip_the_wait(site: Site) -> None:
    """The row need not wait for the next try."""
    site.sql("update test_work set next_attempt_at = now() where next_attempt_at is not null")


def test_what_a_killed_worker_had_runs_on_another_one(site: Site, workers: Workers) -> None:
    (row,) = site.insert("wait")
    first = workers.start()
    site.wait_for(row, status="processing")
    second = workers.start()
    first.kill()
    wait_until(lambda: len(site.runs(row)) == 2)
    assert site.is_(row, crashes=1, attempts=1)
    site.sql("update test_work set plan = 'ok'")
    site.wait_for(row, status="completed", crashes=0)
    assert [run["pid"] for run in site.runs(row)] == [first.pid, second.pid]


def test_frozen_worker_loses_its_rows_and_records_nothing_once_it_wakes(
    site: Site, workers: Workers
) -> None:
    (row,) = site.insert("wait")
    frozen = workers.start()
    site.wait_for(row, status="processing")
    frozen.freeze()
    workers.start()
    wait_until(lambda: len(site.runs(row)) == 2)
    token = site.row(row)["claim"]
    frozen.thaw()

    def it_works_again() -> bool:
        # the other one takes rows, too
        site.sql("insert into test_work (id) values (gen_random_uuid())")
        return frozen.pid in {run["pid"] for run in site.sql("select pid from test_runs")}

    wait_until(it_works_again, timeout=30)
    assert site.is_(row, status="processing", claim=token)
    site.sql("update test_work set plan = 'noted' where id = %s", row)
    site.wait_for(row, status="completed", error_message="a note")


def test_clean_stop_gives_its_rows_back_without_a_trace(site: Site, workers: Workers) -> None:
    (row,) = site.insert("wait")
    worker = workers.start(SHUTDOWN_GRACE="0")
    wait_until(lambda: site.runs(row))
    assert worker.terminate() == 0
    assert site.is_(row, status="pending", attempts=0, crashes=0, claim=None, runnable=True)
    assert site.queued() == [row]


def test_clean_stop_puts_back_what_it_had_not_begun(site: Site, workers: Workers) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 1 where kind = 'test'")
    held, *rows = site.insert("ok", "wait", "wait")
    with site.transaction() as transaction:
        transaction.execute("select from test_work where id = %s for update", [held])
        worker = workers.start("--without", "reconcile", SHUTDOWN_GRACE="0")
        wait_until(lambda: all(site.runs(row) for row in rows) and len(site.jobs()) == 2)
        assert worker.terminate() == 0
        assert sorted(site.queued()) == sorted([held, *rows])


def is_rescued(site: Site, row: UUID, *, crashes: int) -> bool:
    """Whether the row waits again after so many crashes, looked at after a rescue."""
    site.sql("select media_worker.rescue()")
    return site.is_(row, status="pending", crashes=crashes, attempts=0)


def test_row_that_kills_its_worker_ends_alone_and_takes_no_other_along(
    site: Site, workers: Workers
) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 1 where kind = 'test'")
    poison, innocent = site.insert("die", "wait")
    for crashes in (1, 2):
        worker = workers.start("--every", "0.1")
        worker.wait()
        # a worker that nobody knows is dead at once; its last statement may still hold the lead
        site.sql("delete from media_worker.workers")
        wait_until(partial(is_rescued, site, poison, crashes=crashes))
    assert site.row(poison)["next_attempt_at"] is not None
    site.sql("update test_work set plan = 'ok' where id = %s", innocent)
    worker = workers.start("--every", "0.1")
    for alone in (1, 2):
        skip_the_wait(site)
        site.wait_for(poison, status="pending", crashes_alone=alone, claim=None)
        delay = site.sql(
            "select next_attempt_at - updated_at as delay from test_work where plan = 'die'"
        )
        assert 50 < delay[0]["delay"].total_seconds() < 310
    skip_the_wait(site)
    found = site.wait_for(poison, status="failed")
    assert found["error_message"].startswith("crashed the worker")
    assert found["attempts"] <= 1
    site.wait_for(innocent, status="completed")
    assert worker.returncode is None
    pids = {run["pid"] for run in site.runs(poison)[-3:]}
    assert len(pids) == 3 and worker.pid not in pids
    site.sql("update test_work set status = 'pending', plan = 'ok' where id = %s", poison)
    site.wait_for(poison, status="completed")
    assert site.runs(poison)[-1]["pid"] == worker.pid


def begin_alone(site: Site, workers: Workers, *options: str, **env: str):  # type: ignore[no-untyped-def]
    """A worker, and the process in which it runs a row that waits."""
    (row,) = site.insert("wait")
    site.sql("update test_work set crashes = 2")
    worker = workers.start(*options, **env)
    wait_until(lambda: site.runs(row))
    child = site.runs(row)[0]["pid"]
    assert child != worker.pid and is_alive(child)
    return row, worker, child


def test_row_alone_is_given_back_by_a_clean_stop(site: Site, workers: Workers) -> None:
    row, worker, child = begin_alone(site, workers, SHUTDOWN_GRACE="0")
    assert worker.terminate() == 0
    assert not is_alive(child)
    assert site.is_(row, status="pending", attempts=0, crashes=2, crashes_alone=0, claim=None)


def test_death_of_the_worker_ends_the_process_that_it_started(site: Site, workers: Workers) -> None:
    row, worker, child = begin_alone(site, workers)
    worker.kill()
    wait_until(lambda: not is_alive(child), message="the child's end")
    site.shorten_lease(seconds=0)
    site.sql("select media_worker.rescue()")
    assert site.is_(row, status="pending", crashes=3, crashes_alone=0)


def test_process_that_is_told_to_stop_counts_no_crash(site: Site, workers: Workers) -> None:
    row, _, child = begin_alone(site, workers)
    os.kill(child, 15)
    wait_until(lambda: len(site.runs(row)) == 2)
    assert site.is_(row, crashes=2, crashes_alone=0, attempts=1)
    site.sql("update test_work set plan = 'ok'")
    site.wait_for(row, status="completed", crashes=0)
