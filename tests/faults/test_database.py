"""PostgreSQL away, slow to come back, or out of reach: the same worker process goes on."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Faults
from tests.support.process import RunningProcess
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until

LOAD, SIZE, SPEED = 30, 60_000, 30_000


@pytest.fixture
def loaded(faults: Faults) -> Faults:
    """30 tracks that take two seconds each."""
    if faults.server.embedded is None:
        pytest.skip("the server of TEST_DATABASE_URL is not ours to stop")
    # the embedded server trades it for speed, and would lose commits in a crash
    name = faults.one("select current_database()")
    faults.sql(f'alter database "{name}" set synchronous_commit = on')
    faults.tracks(LOAD, size=SIZE, bytes_per_second=SPEED)
    return faults


@pytest.mark.parametrize(
    ("crash", "seconds"),
    [
        pytest.param(False, 3, marks=pytest.mark.soak),
        (True, 3),
        pytest.param(False, 20, marks=pytest.mark.soak),
        pytest.param(True, 20, marks=pytest.mark.soak),
    ],
)
def test_work_goes_on_when_the_server_is_back(loaded: Faults, crash: bool, seconds: float) -> None:
    worker = _busy(loaded)
    loaded.server.embedded.halt(crash=crash)
    time.sleep(seconds)  # how long it is away
    loaded.server.embedded.start()
    loaded.reconnect()
    _assert_went_on(loaded, worker)


def test_connections_are_ended_again_and_again(loaded: Faults) -> None:
    worker = _busy(loaded)
    for _ in range(8):
        loaded.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        time.sleep(0.3)  # between two strokes
    _assert_went_on(loaded, worker)


@pytest.mark.soak
def test_network_that_stalls_and_comes_back(loaded: Faults) -> None:
    with DatabaseProxy(loaded.archive.url) as proxy:
        worker = _busy(loaded, DATABASE_URL=proxy.url)
        proxy.freeze()
        time.sleep(12)  # longer than any deadline of a call
        proxy.forward()
        _assert_went_on(loaded, worker)


def test_sigterm_while_the_network_stalls(faults: Faults) -> None:
    faults.tracks(10, size=SIZE, bytes_per_second=SPEED)
    with DatabaseProxy(faults.archive.url) as proxy:
        worker = _busy(faults, DATABASE_URL=proxy.url, SHUTDOWN_GRACE="1")
        proxy.freeze()
        begun = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - begun < 1 + 8
        proxy.forward()
    faults.bury(worker)
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived()
    faults.assert_tidy()


def test_sigterm_before_there_is_a_database(faults: Faults) -> None:
    with DatabaseProxy(faults.archive.url) as proxy:
        proxy.freeze()
        worker = faults.start(DATABASE_URL=proxy.url)
        wait_until(lambda: proxy.connections, message="the first connection")
        begun = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - begun < 5


def test_worker_starts_without_a_database_and_waits_for_it(faults: Faults) -> None:
    faults.tracks(1)
    with DatabaseProxy(faults.archive.url) as proxy:
        proxy.cut()
        worker = faults.start(DATABASE_URL=proxy.url)
        worker.wait_for_log("trying again")
        proxy.forward()
        faults.wait_for_rest()
    faults.assert_archived()


def test_registration_that_is_pruned(faults: Faults) -> None:
    faults.ready(faults.start())
    wait_until(lambda: faults.sql("select id from procrastinate.procrastinate_workers"))
    faults.sql("delete from procrastinate.procrastinate_workers")
    faults.tracks(3)
    faults.wait_for_rest()
    faults.assert_archived()
    assert faults.burned() == []


def test_listening_that_is_lost(faults: Faults) -> None:
    faults.ready(faults.start())
    listening = (
        "select pid from pg_stat_activity"
        " where datname = current_database() and query ilike 'listen%%'"
    )
    wait_until(lambda: faults.sql(listening), message="LISTEN")
    faults.sql(f"select pg_terminate_backend(pid) from ({listening}) as listener")
    faults.tracks(3)
    faults.wait_for_rest(timeout=5)
    faults.assert_archived()


def _busy(faults: Faults, **env: str) -> RunningProcess:
    worker = faults.start(**env)
    wait_until(
        lambda: (
            faults.one("select count(*) from track_archiving_jobs where claim is not null") >= 10
        ),
        message="ten transfers",
    )
    return worker


def _assert_went_on(faults: Faults, worker: RunningProcess) -> None:
    faults.wait_for_rest(timeout=60)
    assert worker.returncode is None
    assert faults.burned() == []
    faults.assert_archived()
    faults.assert_tidy()
    assert "please report" not in worker.log
