"""The daily check: on one worker, once a day, and made up for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import time, timedelta
from uuid import UUID, uuid4

import pytest

from tests.check.conftest import Site
from worker.app import compose
from worker.check.buckets.places import configured_places
from worker.check.model import Options
from worker.check.setup import Grounds
from worker.check.tasks import check_duty
from worker.db.pool import Database
from worker.settings import load_settings

NO_AGE = timedelta(0)


def work(site: Site, worker: UUID, *, options: Options | None = None) -> None:
    """A worker's duty, once."""

    async def run() -> None:
        database = Database(site.archive.url, size=2)
        grounds = Grounds(configured_places(load_settings()))
        chosen = options or Options(older_than=NO_AGE)
        with ThreadPoolExecutor(2) as executor:
            duty = check_duty(database, worker, grounds, executor, daily_at=time(4), options=chosen)
            assert await duty.run_once() == 0
        await database.close()

    asyncio.run(run())


def make_due(site: Site) -> None:
    site.archive.sql("update media_worker.check_turns set slot = slot - interval '2 days'")


def checks(site: Site) -> int:
    """How many places have a result."""
    return int(site.archive.one("select count(*) from media_worker.check_results"))


def test_first_check_comes_with_the_first_slot(site: Site) -> None:
    work(site, uuid4())
    assert checks(site) == 0
    make_due(site)
    work(site, uuid4())
    assert checks(site) == 3


def test_one_worker_checks_once_a_day(site: Site) -> None:
    make_due(site)
    work(site, uuid4())
    site.archive.sql("delete from media_worker.check_results")
    work(site, uuid4())
    assert checks(site) == 0


def test_result_is_kept_and_nothing_changed(site: Site) -> None:
    track = site.track()
    site.remove(site.key(track))
    site.put("others")
    make_due(site)
    work(site, uuid4())
    (row,) = site.archive.sql(
        "select * from media_worker.check_results where place = %s", site.place
    )
    assert row["objects"] == 1
    assert row["counts"] == {"missing": 1, "foreign": 1}
    assert (row["repaired"], row["error_message"]) == (0, None)
    assert site.archive.track(track)["archived_to_storage"] is True


def test_repair_is_done_where_it_is_wanted(site: Site) -> None:
    track = site.track()
    site.remove(site.key(track))
    make_due(site)
    work(site, uuid4(), options=Options(repair=True, older_than=NO_AGE))
    assert site.archive.track(track)["archived_to_storage"] is False
    (row,) = site.archive.sql(
        "select * from media_worker.check_results where place = %s", site.place
    )
    assert row["repaired"] == 1


def test_each_place_is_a_line_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.remove(site.key(site.track()))
    make_due(site)
    with caplog.at_level("INFO", logger="worker.check.tasks"):
        work(site, uuid4())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_check_of_a_worker_that_died_is_taken_over_a_few_times(site: Site) -> None:
    make_due(site)
    turn = "select media_worker.check_turn('04:00', %s)"
    dead, others = uuid4(), [uuid4() for _ in range(3)]
    assert site.archive.one(turn, dead) is True
    site.archive.sql("select media_worker.beat(%s, 'host', 1, '1', array['archive'], 1)", dead)
    assert site.archive.one(turn, others[0]) is False
    site.archive.sql("select media_worker.leave(%s)", dead)
    assert [site.archive.one(turn, worker) for worker in others] == [True, True, False]


def test_two_workers_do_not_check_at_once(site: Site) -> None:
    make_due(site)
    workers = [uuid4() for _ in range(4)]
    for worker in workers:
        site.archive.sql("select media_worker.beat(%s, 'h', 1, '1', array['archive'], 1)", worker)

    async def ask() -> list[bool]:
        database = Database(site.archive.url, size=4)
        rows = await asyncio.gather(
            *(
                database.call("select media_worker.check_turn('04:00', %s) as mine", (worker,))
                for worker in workers
            )
        )
        await database.close()
        return [row[0]["mine"] for row in rows]

    assert sorted(asyncio.run(ask())) == [False, False, False, True]


async def test_every_worker_with_a_storage_may_lead_it(site: Site) -> None:
    application = compose(load_settings())
    assert "daily check" in [duty.name for duty in application.duties]
    application.executor.shutdown()
