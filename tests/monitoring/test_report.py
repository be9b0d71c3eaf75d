"""`media-worker status` and `retry`: the figures, and who may see them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.archive.conftest import Archive
from tests.support.databases import changed_url, unique_name
from worker.db.pool import DatabaseUnavailable
from worker.monitoring.report import print_status, read_status, retry_failed

AUDIO = "http://127.0.0.1:1/a.mp3"


@pytest.fixture
def member(archive: Archive) -> Iterator[str]:
    """The URL of a login that is a member of media_worker, and nothing else."""
    name = unique_name("member")
    archive.sql(f"create role {name} login in role media_worker")
    yield changed_url(archive.url, user=name)
    archive.sql(f"drop role {name}")


@pytest.fixture
def busy(archive: Archive) -> Archive:
    """One track failed, one waits; a worker is alive, one is gone; one queue is paused."""
    archive.insert_track(AUDIO)
    archive.sql("update track_archiving_jobs set status = 'failed'")
    archive.insert_track(AUDIO)
    archive.sql(
        "insert into media_worker.workers (worker_id, host, pid, version, queues, stopped_at)"
        " values (gen_random_uuid(), 'here', 7, '0', '{archive,cleanup}', null),"
        " (gen_random_uuid(), 'there', 8, '0', '{}', now())"
    )
    archive.sql("select pause_queue('cleanup'), pause_queue('sync', now() + interval '1 hour')")
    archive.sql(
        "insert into media_worker.outages (service, next_probe_at, message)"
        " values ('storage', now(), 'storage: see https://example.org/b?X-Amz-Signature=abc')"
    )
    return archive


def test_member_of_the_role_sees_everything(busy: Archive, member: str) -> None:
    found = read_status(member)
    by_name = {each["queue"]: each for each in found["queues"]}
    archive, cleanup = by_name["archive"], by_name["cleanup"]
    assert (archive["waiting"], archive["failed"], archive["running"]) == (1, 1, 0)
    assert 0 <= archive["oldest_due_age"] < 60
    assert cleanup["oldest_due_age"] is None
    assert [(each["host"], each["alive"]) for each in found["workers"]] == [
        ("here", True),
        ("there", False),
    ]
    assert (found["archive"]["pending_archive"], found["archive"]["failed_archive"]) == (2, 1)
    assert found["archive"]["archive_percentage"] == 0
    assert [each["queue"] for each in found["paused"]] == ["cleanup", "sync"]
    assert [each["service"] for each in found["outages"]] == ["storage"]


def test_status_is_json_as_it_is(busy: Archive) -> None:
    found = read_status(busy.url)
    assert json.loads(json.dumps(found)) == found
    expected = ["queues", "workers", "archive", "cdn", "cleanup", "sync"]
    assert list(found) == [*expected, "held", "limits", "paused", "outages"]


def test_every_cdn_target_has_its_line_in_the_order_of_the_settings(
    archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.sql("select media_worker.cdn_configure(array['near', 'far'])")
    archive.sql("insert into audio_tracks (track_id, file_path) values ('song', 'song.mp3')")
    found = read_status(archive.url)
    print_status(found)
    assert [(each["target"], each["pending"]) for each in found["cdn"]] == [("near", 1), ("far", 1)]
    assert "near" in capsys.readouterr().out


def test_pause_that_is_over_is_not_shown(archive: Archive) -> None:
    archive.sql(
        "insert into media_worker.paused_queues (queue, until)"
        " values ('archive', now() - interval '1 minute')"
    )
    assert read_status(archive.url)["paused"] == []


def test_tables_show_figures_pauses_and_outages_without_signatures(
    busy: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    print_status(read_status(busy.url))
    shown = capsys.readouterr().out
    for text in ("archive", "here", "alive", "gone", "paused", "select resume_queue('cleanup')"):
        assert text in shown
    assert "storage has been out of order since" in shown
    assert "Signature" not in shown
    assert "no worker is alive" not in shown


def test_absence_of_workers_is_said(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    print_status(read_status(archive.url))
    assert "no worker is alive: start one with media-worker run" in capsys.readouterr().out


def test_retry_makes_failed_work_pending_and_counts_it(busy: Archive, member: str) -> None:
    assert retry_failed(member, "archive") == 1
    assert busy.one("select count(*) from track_archiving_jobs where status = 'failed'") == 0
    assert retry_failed(member, "archive") == 0


def test_unknown_queue_is_refused(archive: Archive) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="unknown queue"):
        retry_failed(archive.url, "uploads")


def test_absent_database_is_said_at_once() -> None:
    with pytest.raises(DatabaseUnavailable):
        read_status("postgresql://nobody@127.0.0.1:1/nothing")
