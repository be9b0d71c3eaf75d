"""SIGTERM during transfers: nothing lost, nothing counted."""

from __future__ import annotations

import os
import signal
import time

from tests.faults.conftest import MIB, Faults
from tests.support.process import RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Gate
from worker.demo.bodies import GeneratedMp3

SIZE = 2 * MIB


def test_long_grace_lets_transfers_end(faults: Faults) -> None:
    gates = _under_way(faults, worker := faults.start(SHUTDOWN_GRACE="20"))
    late = faults.tracks(1)
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait_for_log("worker stops")
    for gate in gates:
        gate.release()
    assert worker.wait() == 0
    faults.assert_archived(*(track for track in faults.bodies if track not in late))
    assert faults.burned() == []
    faults.assert_tidy()


def test_short_grace_gives_everything_back(faults: Faults) -> None:
    _under_way(faults, worker := faults.start(SHUTDOWN_GRACE="0.5"))
    begun = time.monotonic()
    assert worker.terminate() == 0
    assert time.monotonic() - begun < 0.5 + 4
    _assert_given_back(faults)
    begun = time.monotonic()
    faults.start()
    faults.wait_for_rest()
    assert time.monotonic() - begun < 8
    faults.assert_archived()
    faults.assert_tidy()
    assert faults.burned() == []


def test_second_signal_skips_the_grace(faults: Faults) -> None:
    _under_way(faults, worker := faults.start(SHUTDOWN_GRACE="60"))
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait_for_log("worker stops")
    assert worker.terminate(timeout=6) == 0
    _assert_given_back(faults)


def _under_way(faults: Faults, worker: RunningProcess) -> list[Gate]:
    """Transfers that stop in the middle: small ones, and one in parts."""
    gates = [faults.gated(GeneratedMp3(n, SIZE), SIZE // 2)[1] for n in range(3)]
    parts = GeneratedMp3(9, 20 * MIB)
    gates.append(faults.gated(parts, 12 * MIB, framing="chunked")[1])
    for gate in gates:
        assert gate.reached.wait(15)
    wait_until(
        lambda: faults.archive.s3.open_uploads(faults.archive.buckets["audio"]),
        message="an open upload",
    )
    assert worker.returncode is None
    return gates


def _assert_given_back(faults: Faults) -> None:
    known = [row["object_key"] for row in faults.sql("select object_key from media_worker.objects")]
    assert set(faults.archive.s3.open_uploads(faults.archive.buckets["audio"])) <= set(known)
    rows = faults.sql(
        "select status, attempts, crashes, claim, next_attempt_at from track_archiving_jobs"
    )
    assert rows == [
        {
            "status": "pending",
            "attempts": 0,
            "crashes": 0,
            "claim": None,
            "next_attempt_at": None,
        }
    ] * len(rows)
    held = faults.sql(
        "select 1 as held from media_worker.objects as o join media_worker.workers as w"
        " on w.worker_id = o.claimed_by where media_worker.is_alive(w)"
    )
    assert held == []
    jobs = faults.sql("select status from procrastinate.procrastinate_jobs")
    assert {job["status"] for job in jobs} <= {"todo"}
