"""The SQL calls of archiving, with good, unknown, wrong and null arguments."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.archive.conftest import SOURCE, Tracks

STORED = "https://elsewhere.example.com/stored.mp3"


def assert_clear(refusal: Any, sqlstate: str, words: str) -> None:
    assert refusal.sqlstate == sqlstate
    assert words in refusal.message_primary
    assert refusal.message_hint


def test_tracks_needing_archiving_come_nearest_expiry_first(tracks: Tracks) -> None:
    for title, age in {
        "expired": "20 days",
        "later": "13 days",
        "soon": "14 days 20 hours",
    }.items():
        tracks.insert_track(title=title, age=age)
    tracks.insert_track(title="not due", age="1 day")
    rows = tracks.sql("select title, days_until_expiry, archive_scheduled_at < now() as due from"
                      " get_tracks_needing_archiving()")  # fmt: skip
    assert [row["title"] for row in rows] == ["soon", "later", "expired"]
    assert float(rows[0]["days_until_expiry"]) == pytest.approx(0.17, abs=0.01)
    assert float(rows[2]["days_until_expiry"]) == -5
    assert all(row["due"] for row in rows)
    assert len(tracks.sql("select * from get_tracks_needing_archiving(1)")) == 1
    assert tracks.sql("select * from get_tracks_needing_archiving(0)") == []


@pytest.mark.parametrize("call", ["get_tracks_needing_archiving", "archive_tracks"])
@pytest.mark.parametrize("limit", [-1, None])
def test_limit_that_is_none_is_refused(tracks: Tracks, call: str, limit: int | None) -> None:
    assert_clear(tracks.refused(f"select * from {call}(%s::integer)", limit), "22023", "max_rows")


def test_archive_track_queues_before_its_day_and_returns_the_job(tracks: Tracks) -> None:
    track = tracks.insert_track(age="1 day")
    first = tracks.one("select archive_track(%s)", track)
    job = tracks.job(track)
    assert job and first == job["id"] and job["status"] == "pending"
    assert tracks.one("select archive_track(%s)", track) == first
    assert tracks.one("select count(*) from track_archiving_jobs") == 1


def test_archive_track_leaves_an_archived_one_alone_unless_forced(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.store(track)
    job = tracks.job(track)
    assert job and tracks.one("select archive_track(%s)", track) == job["id"]
    assert (tracks.job(track) or {})["status"] == "completed"
    assert tracks.one("select archive_track(%s, force => true)", track) == job["id"]
    assert (tracks.job(track) or {})["status"] == "pending"


def test_archive_track_of_an_archived_one_without_job_is_null(tracks: Tracks) -> None:
    track = tracks.insert_track(archived_to_storage=True, storage_audio_url=STORED)
    assert tracks.one("select archive_track(%s)", track) is None
    assert tracks.one("select archive_track(%s, null)", track) is None


def test_archive_track_refuses_what_cannot_be_archived(tracks: Tracks) -> None:
    draft, silent = tracks.insert_track(status="draft"), tracks.insert_track(None)
    assert_clear(tracks.refused("select archive_track(%s)", uuid4()), "P0002", "unknown track")
    assert_clear(tracks.refused("select archive_track(null)"), "P0002", "unknown track null")
    assert_clear(tracks.refused("select archive_track(%s)", draft), "22023", "not completed")
    assert_clear(tracks.refused("select archive_track(%s)", silent), "22023", "no audio_url")


def test_archive_tracks_returns_how_many_it_has_queued(tracks: Tracks) -> None:
    before, after, open_, archived = (tracks.insert_track() for _ in range(4))
    lost = tracks.insert_track(age="30 days")
    tracks.store(archived)
    failed = "update track_archiving_jobs set status = 'failed', error_message = 'no'"
    for track in (before, lost):
        tracks.sql(f"{failed} where track_id = %s", track)
    tracks.sql("delete from track_archiving_jobs where track_id = %s", after)
    assert tracks.one("select archive_tracks(1)") == 1
    assert tracks.one("select archive_tracks()") == 1
    assert tracks.one("select archive_tracks()") == 0
    assert (tracks.job(before) or {})["status"] == "pending"
    assert (tracks.job(after) or {})["status"] == "pending"
    assert (tracks.job(open_) or {})["status"] == "pending"
    assert (tracks.job(lost) or {})["status"] == "failed"


def test_failure_before_the_expiry_is_tried_after_it_too(tracks: Tracks) -> None:
    track = tracks.insert_track(age="16 days")
    tracks.sql("update track_archiving_jobs set status = 'failed', error_message = 'no'")
    tracks.sql(
        "update track_archiving_jobs set completed_at = now() - interval '2 days',"
        " updated_at = now()"
    )
    assert tracks.one("select archive_tracks()") == 1
    assert (tracks.job(track) or {})["status"] == "pending"


def test_marking_by_hand_records_and_cancels(tracks: Tracks) -> None:
    track = tracks.insert_track(cover_url="https://provider.example.com/c.jpg")
    assert tracks.one("select mark_track_archived(%s, %s)", track, STORED) is True
    row, job = tracks.track(track), tracks.job(track)
    assert row["archived_to_storage"] is True and row["storage_audio_url"] == STORED
    assert row["archived_at"] and row["storage_cover_url"] is None
    assert job and job["status"] == "completed"
    assert job["error_message"].startswith("cancelled:")


def test_marking_by_hand_takes_cover_and_video(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.one("select mark_track_archived(%s, 'a', 'c', 'v')", track)
    tracks.one("select mark_track_archived(%s, 'a2')", track)
    row = tracks.track(track)
    stored = [row[f"storage_{role}_url"] for role in ("audio", "cover", "video")]
    assert stored == ["a2", "c", "v"]


def test_marking_an_unknown_track_is_false(tracks: Tracks) -> None:
    assert tracks.one("select mark_track_archived(%s, %s)", uuid4(), STORED) is False
    assert tracks.one("select mark_track_archived(null, %s)", STORED) is False


@pytest.mark.parametrize("url", [None, ""])
def test_marking_without_audio_is_refused(tracks: Tracks, url: str | None) -> None:
    track = tracks.insert_track()
    refusal = tracks.refused("select mark_track_archived(%s, %s)", track, url)
    assert_clear(refusal, "22023", "audio_url")


def test_marking_survives_a_run_that_is_under_way(tracks: Tracks) -> None:
    track = tracks.insert_track()
    worker, token = uuid4(), uuid4()
    tracks.sql("select media_worker.beat(%s, 'host', 1, '1', array['archive'], 1)", worker)
    job = (tracks.job(track) or {})["id"]
    tracks.sql("select media_worker.claim('archive', array[%s], %s, %s)", job, worker, token)
    tracks.one("select mark_track_archived(%s, %s)", track, STORED)
    said = tracks.one(
        "select media_worker.archive_record(%s, %s, jsonb_build_object('audio', %s::text),"
        " '{\"audio\": {\"url\": \"https://storage.example.com/x.mp3\"}}', '{}')",
        job, token, SOURCE,
    )  # fmt: skip
    assert said == "changed"
    assert tracks.track(track)["storage_audio_url"] == STORED
    row = tracks.job(track)
    assert row and row["status"] == "completed" and row["claim"] is None
    assert row["error_message"].startswith("cancelled:")


def test_processing_status_of_a_track(tracks: Tracks) -> None:
    track = tracks.insert_track()
    status = tracks.one("select get_track_processing_status(%s)", track)
    assert set(status) == {
        "track_id", "status", "attempts", "error_message", "archived", "storage_audio_url",
        "storage_cover_url", "storage_video_url", "archive_scheduled_at", "next_attempt_at",
        "started_at", "completed_at",
    }  # fmt: skip
    assert status["track_id"] == str(track) and status["status"] == "pending"
    assert status["archived"] is False and status["attempts"] == 0


def test_processing_status_before_there_is_a_job(tracks: Tracks) -> None:
    track = tracks.insert_track(age="1 day")
    status = tracks.one("select get_track_processing_status(%s)", track)
    assert status["status"] is None and status["archive_scheduled_at"]


def test_processing_status_of_an_unknown_track_is_null(tracks: Tracks) -> None:
    assert tracks.one("select get_track_processing_status(%s)", uuid4()) is None
    assert tracks.one("select get_track_processing_status(null)") is None


def test_playback_takes_each_file_from_where_it_is(tracks: Tracks) -> None:
    tracks.insert_track("a", title="provider", cover_url="c")
    tracks.insert_track(
        "a", title="storage", cover_url="c", archived_to_storage=True, storage_audio_url="s"
    )
    rows = tracks.sql(
        "select p.audio_url, p.cover_url, p.video_url, p.source from track_playback as p"
        " join tracks as t on t.id = p.track_id order by t.title"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("a", "c", None, "provider"),
        ("s", "c", None, "storage"),
    ]


@pytest.mark.parametrize(
    "call", ["select count(*)::int from get_tracks_needing_archiving()", "select archive_tracks()"]
)
def test_old_transaction_sees_what_has_fallen_due_since_it_began(tracks: Tracks, call: str) -> None:
    with psycopg.connect(tracks.url) as connection:
        connection.execute("select")
        track = tracks.insert_track(age="1 day")
        tracks.sql("set session_replication_role = replica")
        tracks.update(track, "archive_scheduled_at = clock_timestamp()")
        tracks.sql("set session_replication_role = origin")
        assert connection.execute(call.encode()).fetchone() == (1,)


def test_playback_takes_an_empty_url_for_none(tracks: Tracks) -> None:
    for role in ("audio", "cover"):
        tracks.sql(f"alter table tracks alter storage_{role}_url set default ''")
    track = tracks.insert_track(cover_url="https://provider.example.com/c.jpg")
    playback = tracks.sql("select * from track_playback where track_id = %s", track)[0]
    assert playback["audio_url"] == SOURCE and playback["source"] == "provider"
    assert playback["cover_url"] == "https://provider.example.com/c.jpg"
