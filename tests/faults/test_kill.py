"""kill -9 at any moment of a transfer, and workers that come back from the dead."""

from __future__ import annotations

import pytest

from tests.faults.conftest import MIB, Faults
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour, Gate
from worker.demo.bodies import GeneratedMp3, media

SIZE = 3 * MIB


def test_killed_at_any_byte_each_track_is_archived_once(faults: Faults) -> None:
    moments = [0, 1, SIZE // 2, SIZE - 300 * 1024, SIZE - 1]
    gates = [faults.gated(GeneratedMp3(n, SIZE), at)[1] for n, at in enumerate(moments)]
    parts = GeneratedMp3(50, 20 * MIB)
    gates += [faults.gated(parts, at, framing="chunked")[1] for at in (MIB, 12 * MIB)]
    first = faults.start()
    for gate in gates:
        assert gate.reached.wait(15)
    wait_until(lambda: faults.archive.s3.open_uploads(faults.archive.buckets["audio"]))
    faults.kill(first)
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived()
    faults.assert_tidy()
    rows = faults.sql("select attempts, crashes from track_archiving_jobs")
    assert [row["attempts"] for row in rows] == [1] * len(gates)


def test_killed_within_parts_of_known_length(faults: Faults) -> None:
    body = GeneratedMp3(60, 70 * MIB)
    track, gate = faults.gated(body, 50 * MIB)
    first = faults.start()
    assert gate.reached.wait(15)
    faults.kill(first)
    assert len(faults.archive.s3.open_uploads(faults.archive.buckets["audio"])) == 1
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived(track)
    faults.assert_tidy()


def test_killed_between_storage_and_row_nothing_is_sent_again(faults: Faults) -> None:
    body = GeneratedMp3(61, SIZE)
    gate = Gate(10)
    cover = faults.provider.serve(
        "/cover.jpg", Behaviour(media("cover.jpg"), gate=gate), Behaviour(media("cover.jpg"))
    )
    track = faults.track(body, cover_url=cover)
    first = faults.start()
    assert gate.reached.wait(15)
    faults.kill(first)
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived(track)
    faults.assert_tidy()
    assert len(faults.provider.requests("/faults/0.mp3")) == 1


def test_track_deleted_while_its_worker_is_dead_leaves_nothing(faults: Faults) -> None:
    track, gate = faults.gated(GeneratedMp3(62, 20 * MIB), 12 * MIB, framing="chunked")
    first = faults.start()
    assert gate.reached.wait(15)
    faults.kill(first)
    faults.sql("delete from tracks where id = %s", track)
    faults.start()
    faults.wait_for_rest()
    assert faults.archive.keys("audio") == []
    faults.assert_tidy()


def test_request_of_a_dead_worker_that_ends_late_is_put_right(faults: Faults) -> None:
    old, new = GeneratedMp3(63, SIZE), GeneratedMp3(64, SIZE + 5)
    track = faults.track(old)
    late = faults.front.hold_back("PUT", str(track))
    first = faults.start()
    assert late.reached.wait(15)
    faults.kill(first)
    faults.sql(
        "update tracks set audio_url = %s where id = %s", faults.provider.serve("/new.mp3"), track
    )
    faults.provider.serve("/new.mp3", Behaviour(new))
    faults.bodies[track] = new
    second = faults.start()
    faults.wait_for_rest()
    faults.assert_archived(track)
    late.released.set()
    assert late.done.wait(10)
    with pytest.raises(AssertionError):
        faults.assert_archived(track)
    _let_rechecks_be_due(faults)
    second.terminate()
    faults.start()
    wait_until(lambda: _is_settled(faults), message="the second look")
    faults.wait_for_rest()
    faults.assert_archived(track)
    faults.assert_tidy()


def test_late_request_for_a_deleted_track_is_deleted_too(faults: Faults) -> None:
    track = faults.track(GeneratedMp3(65, SIZE))
    late = faults.front.hold_back("PUT", str(track))
    first = faults.start()
    assert late.reached.wait(15)
    faults.kill(first)
    faults.sql("delete from tracks where id = %s", track)
    second = faults.start()
    faults.wait_for_rest()
    late.released.set()
    assert late.done.wait(10)
    assert len(faults.archive.keys("audio")) == 1
    faults.assert_tidy()
    _let_rechecks_be_due(faults)
    second.terminate()
    faults.start()
    wait_until(lambda: _is_settled(faults), message="the second look")
    faults.wait_for_rest()
    assert faults.archive.keys("audio") == []


def test_zombie_writes_nothing(faults: Faults) -> None:
    body, old, new = GeneratedMp3(66, SIZE), GeneratedMp3(67, SIZE), GeneratedMp3(68, SIZE + 7)
    same, first_gate = faults.gated(body, SIZE // 2)
    changed, second_gate = faults.gated(old, SIZE - 1)
    deleted, third_gate = faults.gated(GeneratedMp3(69, SIZE), SIZE // 2)
    zombie = faults.start()
    gates = (first_gate, second_gate, third_gate)
    for gate in gates:
        assert gate.reached.wait(15)
    zombie.freeze()
    faults.bury(zombie)
    url = faults.provider.serve("/new.mp3", Behaviour(new))
    faults.sql("update tracks set audio_url = %s where id = %s", url, changed)
    faults.sql("delete from tracks where id = %s", deleted)
    faults.bodies[changed] = new
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived(same, changed)
    before = faults.sql("select * from track_archiving_jobs order by id")
    for gate in gates:
        gate.release()
    zombie.thaw()
    wait_until(
        lambda: zombie.log.count("another run has taken") >= 3, message="the zombie's insight"
    )
    faults.assert_archived(same, changed)
    assert faults.sql("select * from track_archiving_jobs order by id") == before
    assert len(faults.archive.keys("audio")) == 2
    faults.assert_tidy()


def test_worker_that_was_paused_alone_takes_its_work_up_again(faults: Faults) -> None:
    track, gate = faults.gated(GeneratedMp3(70, SIZE), SIZE - 1)
    worker = faults.start()
    assert gate.reached.wait(15)
    worker.freeze()
    faults.bury(worker)
    gate.release()
    worker.thaw()
    faults.wait_for_rest()
    faults.assert_archived(track)
    faults.assert_tidy()


@pytest.mark.soak
def test_killed_worker_is_followed_when_its_lease_is_over(faults: Faults) -> None:
    tracks = [faults.gated(GeneratedMp3(80 + n, SIZE), SIZE // 2) for n in range(3)]
    first = faults.start()
    for _, gate in tracks:
        assert gate.reached.wait(15)
    first.kill()
    faults.start()
    faults.wait_for_rest(timeout=60)
    faults.assert_archived()
    faults.assert_tidy()


def _let_rechecks_be_due(faults: Faults) -> None:
    faults.sql("update media_worker.objects set recheck_at = now() where recheck_at is not null")


def _is_settled(faults: Faults) -> bool:
    return not faults.sql("select 1 from media_worker.objects where recheck_at is not null")
