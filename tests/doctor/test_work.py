"""Findings about the work: who does it, and what keeps it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.archive.conftest import Archive
from tests.doctor.conftest import Examine
from worker.doctor.model import Finding

Sick = Callable[..., list[Finding]]
AUDIO = "http://127.0.0.1:1/a.mp3"


def register_worker(archive: Archive, *queues: str) -> None:
    archive.sql(
        "insert into media_worker.workers (worker_id, host, pid, version, queues)"
        " values (gen_random_uuid(), 'here', 7, '0', %s)",
        list(queues),
    )


def insert_old_work(archive: Archive) -> None:
    archive.insert_track(AUDIO)
    # as a worker's own statement, so that the row's trigger leaves the time alone
    archive.sql("update track_archiving_jobs set updated_at = now() - interval '10 minutes'")


def test_no_worker_is_a_warning_that_names_the_command(archive: Archive, look: Examine) -> None:
    (finding,) = look(archive.env)
    assert (finding.level, finding.what) == ("warning", "no worker is alive")
    assert finding.mend == "media-worker run"


def test_living_worker_is_no_complaint(archive: Archive, look: Examine) -> None:
    register_worker(archive, "archive", "cleanup")
    assert look(archive.env) == []


def test_work_that_nobody_does_is_an_error(archive: Archive, sick: Sick) -> None:
    insert_old_work(archive)
    (finding,) = sick()
    assert finding.level == "error"
    assert "0:10:00" in finding.what
    assert finding.mend == "media-worker run"


@pytest.mark.parametrize(("queue", "level"), [("cleanup", "error"), ("archive", "warning")])
def test_work_that_waits_although_a_worker_is_alive_is_told(
    archive: Archive, sick: Sick, queue: str, level: str
) -> None:
    register_worker(archive, queue)
    insert_old_work(archive)
    (finding,) = sick()
    assert finding.level == level
    assert "archive" in finding.what


def test_fresh_work_is_no_complaint(archive: Archive, sick: Sick) -> None:
    archive.insert_track(AUDIO)
    assert sick() == []


def test_paused_queue_is_told_with_the_way_to_resume(archive: Archive, sick: Sick) -> None:
    archive.sql("select pause_queue('archive')")
    insert_old_work(archive)
    (finding,) = sick()
    assert (finding.level, finding.mend) == ("warning", "select resume_queue('archive')")
    archive.sql(finding.mend)
    assert "paused" not in repr(sick())


def test_failed_work_is_told_with_the_way_to_retry(archive: Archive, sick: Sick) -> None:
    archive.insert_track(AUDIO)
    archive.sql("update track_archiving_jobs set status = 'failed'")
    (finding,) = sick()
    assert (finding.level, finding.mend) == ("warning", "media-worker retry archive")
    assert "1" in finding.what


def test_outage_is_told_with_its_reason(archive: Archive, sick: Sick) -> None:
    archive.sql(
        "insert into media_worker.outages (service, next_probe_at, message)"
        " values ('storage', now(), 'storage: example.org refuses connections')"
    )
    (finding,) = sick()
    assert finding.level == "error"
    assert "storage: example.org refuses connections" in finding.what
