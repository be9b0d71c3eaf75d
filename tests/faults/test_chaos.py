"""Random writes from many sessions, beside workers that die: what counts is the last state."""

from __future__ import annotations

import random
import sys
import time
from uuid import UUID

import pytest

from tests.faults.application import OWNER, Application
from tests.faults.conftest import Faults
from tests.support.process import RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import GeneratedMp3

TRACKS = [UUID(int=n + 1) for n in range(40)]
SHORT, LONG = 8.0, 180.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seconds", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_last_states_win_though_a_worker_dies_again_and_again(
    faults: Faults, seconds: float
) -> None:
    application, urls = _application(faults)
    faults.start()
    victim = faults.start()
    application.start()
    dice, deadline = random.Random(5), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(1 + 2 * dice.random())  # the victim's life
        faults.kill(victim)
        victim = faults.start()
    application.stop()
    _assert_at_rest(faults, application, urls)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seconds", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_last_states_win_without_a_safety_net(faults: Faults, seconds: float) -> None:
    application, urls = _application(faults)
    for _ in range(2):
        _unreconciled(faults)
    application.start()
    time.sleep(seconds)  # how long it writes
    application.stop()
    _assert_at_rest(faults, application, urls)
    assert faults.burned() == []


def _application(faults: Faults) -> tuple[Application, dict[str, GeneratedMp3]]:
    """An application whose tracks have one of eight sources, two of them slow."""
    bodies: dict[str, GeneratedMp3] = {}
    for number in range(8):
        body = GeneratedMp3(number, 10_000 + number)
        speed = 20_000 if number < 2 else None
        url = faults.provider.serve(f"/{number}.mp3", Behaviour(body, bytes_per_second=speed))
        bodies[url] = body
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    made = Application(faults.archive.url, tracks=TRACKS, urls=list(bodies), seed=seed)
    return made, bodies


def _unreconciled(faults: Faults) -> RunningProcess:
    command = [sys.executable, "-m", "tests.faults.unreconciled"]
    return faults.processes.start(command, env=faults.archive.env)


def _assert_at_rest(
    faults: Faults, application: Application, urls: dict[str, GeneratedMp3]
) -> None:
    assert application.trouble == []
    assert application.commits > 50
    wait_until(lambda: _is_at_rest(faults), timeout=60, message="rest")
    existing = faults.sql("select id, audio_url, archived_to_storage from tracks")
    for row in existing:
        faults.bodies[row["id"]] = urls[row["audio_url"]]
    print(f"{application.commits} commits, {len(existing)} tracks at the end")
    assert faults.archive.keys("audio") == sorted(f"{OWNER}/{row['id']}.mp3" for row in existing)
    faults.assert_archived(*faults.bodies)
    faults.assert_tidy()
    failed = "select * from track_archiving_jobs where status = 'failed'"
    assert faults.sql(failed) == []


def _is_at_rest(faults: Faults) -> bool:
    # what has met several crashes waits for minutes: not here
    faults.sql(
        "update track_archiving_jobs set next_attempt_at = null, updated_at = clock_timestamp()"
        " where crashes > 1 and status = 'pending' and claim is null"
        " and next_attempt_at is not null"
    )
    return not faults.unfinished()
