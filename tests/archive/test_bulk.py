"""Statements over many rows."""

from __future__ import annotations

import time

from tests.archive.conftest import Tracks

INSERT = (
    "insert into tracks (user_id, provider, status, audio_url, created_at)"
    " select gen_random_uuid(), 'suno', 'completed', 'https://x.org/' || g, now() - %s::interval"
    " from generate_series(1, %s) as g"
)


def test_far_future_tracks_cost_no_jobs(tracks: Tracks) -> None:
    tracks.sql(INSERT, "1 day", 100_000)
    assert tracks.one("select count(*) from track_archiving_jobs") == 0
    assert tracks.jobs() == 0
    assert tracks.one("select count(archive_scheduled_at) from tracks") == 100_000


def test_ten_thousand_due_tracks_are_queued_each_once(tracks: Tracks) -> None:
    tracks.sql(INSERT, "14 days", 10_000)
    assert tracks.one("select count(*) from track_archiving_jobs where runnable") == 10_000
    assert tracks.jobs() == 10_000
    tracks.sql("update tracks set title = 'other'")
    assert tracks.jobs() == 10_000
    tracks.sql("delete from tracks")
    assert tracks.one("select count(*) from track_archiving_jobs where status = 'pending'") == 0
    assert tracks.notices == []


def test_update_of_archived_tracks_is_not_slowed_down(tracks: Tracks) -> None:
    tracks.sql("set session_replication_role = replica")
    tracks.sql(INSERT, "14 days", 20_000)
    tracks.sql(
        "update tracks set archived_to_storage = true, storage_audio_url = audio_url,"
        " cover_url = audio_url, storage_cover_url = audio_url"
    )
    bare = _seconds(tracks, "update tracks set title = 'bare'")
    tracks.sql("set session_replication_role = origin")
    assert _seconds(tracks, "update tracks set title = 'ours'") < 3 * bare + 0.5
    assert tracks.jobs() == 0


def _seconds(tracks: Tracks, statement: str) -> float:
    started = time.monotonic()
    tracks.sql(statement)
    return time.monotonic() - started
