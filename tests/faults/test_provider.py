"""Providers that hang and rows that kill: neither takes the others down."""

from __future__ import annotations

import sys
import time

import pytest

from tests.faults.conftest import Faults
from tests.support.process import RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour, Gate
from worker.demo.bodies import GeneratedMp3

SLOTS = 16


def test_hanging_provider_does_not_stop_another(faults: Faults) -> None:
    _hanging(faults, 60)
    faults.processes.start([sys.executable, "-m", "tests.faults.impatient"], env=_env(faults))
    wait_until(lambda: len(faults.provider.requests()) >= SLOTS, message="all slots to be taken")
    begun = time.monotonic()
    _on_another_host(faults, 10)
    wait_until(lambda: _archived(faults) == 10, timeout=15, message="the other provider's tracks")
    assert time.monotonic() - begun < 10
    alone = faults.one("select max(attempts) from track_archiving_jobs where status <> 'completed'")
    assert alone <= 10


@pytest.mark.soak
def test_hanging_provider_with_real_deadlines(faults: Faults) -> None:
    _hanging(faults, 200)
    faults.start()
    wait_until(lambda: len(faults.provider.requests()) >= SLOTS, message="all slots to be taken")
    _on_another_host(faults, 10)
    wait_until(lambda: _archived(faults) == 10, timeout=60, message="the other provider's tracks")
    _on_another_host(faults, 10)
    begun = time.monotonic()
    wait_until(lambda: _archived(faults) == 20, timeout=60, message="fresh tracks")
    assert time.monotonic() - begun < 15


def test_full_house_keeps_its_heartbeat(faults: Faults) -> None:
    gates = [faults.gated(GeneratedMp3(n, 100_000), 50_000)[1] for n in range(SLOTS)]
    faults.start()
    for gate in gates:
        assert gate.reached.wait(15)
    first = faults.one("select last_heartbeat_at from worker_status")
    wait_until(
        lambda: faults.one("select last_heartbeat_at from worker_status") > first,
        message="a heartbeat",
    )
    row = faults.sql("select running, alive, last_heartbeat_at from worker_status")[0]
    assert row["alive"] is True
    assert row["running"] == SLOTS
    assert row["last_heartbeat_at"] > first
    for gate in gates:
        gate.release()
    faults.wait_for_rest()
    faults.assert_archived()


def test_poison_row_takes_no_neighbour_down(faults: Faults) -> None:
    gate = Gate(100)
    body = GeneratedMp3(1, 40_000)
    faults.track(body, Behaviour(body, gate=gate), title="good")
    neighbours = faults.tracks(5, bytes_per_second=20_000)
    deaths = _until_alone(faults, faults.track(GeneratedMp3(2, 40_000), title="poison"))
    job = faults.sql(
        "select j.* from track_archiving_jobs as j join tracks as t on t.id = j.track_id"
        " where t.title = 'poison'"
    )[0]
    assert deaths == 2
    assert job["status"] == "failed"
    assert "crashed the worker" in job["error_message"]
    poison = job["track_id"]
    faults.wait_for_rest()
    faults.assert_archived(*neighbours, *(t for t in faults.bodies if t != poison))
    faults.assert_tidy()


def _until_alone(faults: Faults, poison: object) -> int:
    """Start the worker again whenever it dies, until the poison's row has ended."""
    deaths = 0
    worker = _weak_worker(faults)

    def ended() -> bool:
        nonlocal worker, deaths
        if worker.returncode is not None:
            deaths += 1
            faults.bury(worker)
            worker = _weak_worker(faults)
        faults.sql(
            "update track_archiving_jobs set next_attempt_at = null, updated_at = clock_timestamp()"
            " where crashes > 0 and status = 'pending' and claim is null"
            " and next_attempt_at is not null"
        )
        return bool(
            faults.one(
                "select status = 'failed' from track_archiving_jobs where track_id = %s", poison
            )
        )

    wait_until(ended, timeout=60, message="the end of the poison's row")
    assert worker.returncode is None
    return deaths


def _weak_worker(faults: Faults) -> RunningProcess:
    return faults.processes.start([sys.executable, "-m", "tests.faults.poisoned"], env=_env(faults))


def _hanging(faults: Faults, count: int) -> None:
    url = faults.provider.serve("/hangs.mp3", Behaviour(hang=True))
    for number in range(count):
        faults.archive.insert_track(f"{url}?{number}")


def _on_another_host(faults: Faults, count: int) -> None:
    for track in faults.tracks(count):
        faults.sql(
            "update tracks set audio_url = replace(audio_url, '127.0.0.1', 'localhost')"
            " where id = %s",
            track,
        )


def _archived(faults: Faults) -> int:
    return int(faults.one("select count(*) from tracks where archived_to_storage"))


def _env(faults: Faults) -> dict[str, str]:
    return faults.archive.env
