"""The team's storage out of order: work waits, nothing counts, and nothing is fetched in vain."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Faults
from tests.faults.front import Mode
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import GeneratedMp3

MANY = 20
SLOWLY = "1,1,1,1"  # delays: a probe a second


def test_outage_is_waited_for_whatever_its_face(faults: Faults) -> None:
    faults.front.be("refuse")
    faults.tracks(1)
    worker = faults.start(RETRY_DELAYS=SLOWLY)
    wait_until(_known(faults), message="the outage")
    faults.tracks(MANY)
    wait_until(lambda: _waiting(faults) == 1 + MANY, message="all to wait")
    faces: list[tuple[Mode, str]] = [
        ("reset", "cut the connection"),
        ("slow down", "503 SlowDown"),
        ("forbid", "403 AccessDenied: let the key"),
    ]
    for mode, reason in faces:
        faults.front.be(mode)
        wait_until(lambda reason=reason: reason in _reason(faults), message=reason)  # type: ignore[misc]
    assert _downloads(faults) <= faults.one("select probes + 1 from media_worker.outages")
    bucket = faults.archive.buckets["audio"]
    faults.archive.s3.boto.delete_bucket(Bucket=bucket)
    faults.front.be("forward")
    wait_until(lambda: "NoSuchBucket: create the bucket" in _reason(faults), message="no bucket")
    faults.archive.s3.create_buckets([bucket])
    faults.wait_for_rest(timeout=40)
    faults.assert_archived()
    faults.assert_tidy()
    assert faults.burned() == []
    assert worker.returncode is None


@pytest.mark.soak
def test_storage_that_hangs_is_waited_for(faults: Faults) -> None:
    faults.front.be("hang")
    faults.tracks(1)
    faults.start(RETRY_DELAYS=SLOWLY)
    wait_until(_known(faults), timeout=90, message="the outage")
    faults.tracks(MANY)
    wait_until(lambda: _waiting(faults) == MANY, timeout=90, message="all to wait")
    faults.front.be("forward")
    faults.wait_for_rest(timeout=90)
    faults.assert_archived()
    faults.assert_tidy()
    assert faults.burned() == []


def test_outage_within_a_multipart_upload_leaves_none_open(faults: Faults) -> None:
    body = GeneratedMp3(7, 20 * 1024 * 1024)
    _, gate = faults.gated(body, 12 * 1024 * 1024, framing="chunked")
    faults.start()
    assert gate.reached.wait(15)
    faults.front.be("refuse")
    gate.release()
    wait_until(_known(faults), message="the outage")
    faults.front.be("forward")
    faults.wait_for_rest()
    faults.assert_archived()
    faults.assert_tidy()


def test_deletions_wait_for_the_storage_too(faults: Faults) -> None:
    track = faults.track(GeneratedMp3(8, 20_000))
    faults.start()
    faults.wait_for_rest()
    faults.front.be("slow down")
    faults.sql("delete from tracks where id = %s", track)
    wait_until(_known(faults), message="the outage")
    faults.front.be("forward")
    faults.wait_for_rest()
    assert faults.archive.keys("audio") == []
    assert faults.one("select max(attempts) from storage_cleanup_queue") == 1
    faults.assert_tidy()


def test_provider_that_fails_is_no_outage(faults: Faults) -> None:
    body = GeneratedMp3(9, 20_000)
    track = faults.track(body, Behaviour(body, cut_after=1000, etag=""))
    faults.start()
    faults.wait_for_rest()
    faults.assert_archived(track)
    assert faults.one("select attempts from track_archiving_jobs") == 2
    assert faults.sql("select * from media_worker.outages") == []


def _known(faults: Faults):  # type: ignore[no-untyped-def]
    return lambda: faults.sql("select * from media_worker.outages")


def _reason(faults: Faults) -> str:
    return str(faults.one("select message from media_worker.outages"))


def _waiting(faults: Faults) -> int:
    return int(
        faults.one("select count(*) from track_archiving_jobs where status = 'pending' and parked")
    )


def _downloads(faults: Faults) -> int:
    return len(faults.provider.requests())
