"""Everything at once: random changes, held transactions, workers that are killed and killed."""

from __future__ import annotations

import itertools
import random
import time

import pytest

from tests.queue.chaos import Application
from tests.queue.conftest import Workers
from tests.queue.site import Site
from tests.support.wait import wait_until

SETTLED = """
    select (select count(*) from test_work where status <> 'completed') as open,
        (select count(*) from test_work where claim is not null) as claimed,
        (select count(*) from procrastinate.procrastinate_jobs) as jobs
"""
# What was asked for last has to be what was done last.
LOST = """
    select w.id, w.wanted, (select max(r.wanted) from test_runs as r where r.id = w.id) as done
    from test_work as w
    where w.wanted is distinct from (select max(r.wanted) from test_runs as r where r.id = w.id)
"""
KILLS_EVERY = 2.5


def settled(site: Site) -> bool:
    return not any(site.sql(SETTLED)[0].values())


def check(site: Site, application: Application, *, timeout: float) -> None:
    """All that the application asked for has been done, and it has noticed nothing of us."""
    assert application.errors == []
    began = time.monotonic()
    wait_until(lambda: settled(site), timeout=timeout, message=str(site.sql(SETTLED)))
    assert site.sql(LOST) == []
    runs = site.one("select count(*) from test_runs")
    print(
        f"{application.statements} statements, {runs} effects,"
        f" settled after {time.monotonic() - began:.1f} s"
    )
    assert runs > application.statements > 50


def stir(site: Site, workers: Workers, *, seconds: float, seed: int) -> Application:
    """Kill a worker every few seconds while the application works."""
    options = ("--sets", "--every", "0.2")
    alive = [workers.start(*options), workers.start(*options)]
    with Application(site.url, sessions=5, seed=seed) as application:
        end = time.monotonic() + seconds
        for victim in itertools.cycle((0, 1)):
            time.sleep(random.uniform(0.5, 1.5) * KILLS_EVERY)
            if time.monotonic() > end:
                break
            alive[victim].kill()
            alive[victim] = workers.begin(*options)
    return application


@pytest.mark.timeout(240)
def test_nothing_is_lost_while_workers_are_killed(site: Site, workers: Workers) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 20 where kind = 'test'")
    application = stir(site, workers, seconds=10, seed=1)
    check(site, application, timeout=120)


@pytest.mark.timeout(120)
def test_nothing_is_lost_without_the_reconciler(site: Site, workers: Workers) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 20 where kind = 'test'")
    without = ("--without", "reconcile", "rescue", "disown")
    for _ in range(2):
        workers.start("--sets", "--every", "0.2", *without)
    with Application(site.url, sessions=5, seed=2) as application:
        time.sleep(8)
    check(site, application, timeout=30)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [3, 4, 5])
def test_nothing_is_lost_in_the_long_run(site: Site, workers: Workers, seed: int) -> None:
    site.sql("update media_worker.work_kinds set ids_per_job = 20 where kind = 'test'")
    application = stir(site, workers, seconds=120, seed=seed)
    check(site, application, timeout=600)
