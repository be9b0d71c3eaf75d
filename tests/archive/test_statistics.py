"""archive_statistics, against tracks and jobs made by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.archive.conftest import Tracks


def figures(tracks: Tracks) -> dict[str, object]:
    return tracks.sql("select * from archive_statistics")[0]


def archived(tracks: Tracks, age: str, archived_ago: str) -> None:
    track = tracks.insert_track(age=age, archived_to_storage=True, storage_audio_url="s")
    tracks.update(track, "archived_at = now() - %s::interval", archived_ago)


def ended(tracks: Tracks, age: str, status: str, **values: str) -> None:
    track = tracks.insert_track(age=age)
    ago, seconds = values.get("ago", "1 hour"), values.get("took", "10 s")
    tracks.sql("update track_archiving_jobs set status = %s where track_id = %s", status, track)
    tracks.sql(
        "update track_archiving_jobs set completed_at = now() - %s::interval,"
        " started_at = now() - %s::interval - %s::interval, error_message = %s"
        " where track_id = %s",
        ago, ago, seconds, values.get("message"), track,
    )  # fmt: skip


def test_empty_database_counts_nothing(tracks: Tracks) -> None:
    assert figures(tracks) == {
        "total_archived": 0, "pending_archive": 0, "urgent_archive_needed": 0,
        "expired_tracks": 0, "failed_archive": 0, "archive_percentage": None,
        "archived_in_time_percentage": None, "failure_percentage": None,
        "average_archiving_time": None,
    }  # fmt: skip


def test_tracks_are_counted_by_what_became_of_them(tracks: Tracks) -> None:
    archived(tracks, "14 days", "1 hour")
    tracks.insert_track(age="1 day")  # pending
    tracks.insert_track(age="13 days 1 hour")  # pending, urgent
    tracks.insert_track(age="16 days")  # expired
    ended(tracks, "14 days", "failed")  # pending, urgent, failed
    ended(tracks, "17 days", "failed")  # expired, failed
    tracks.insert_track(status="draft")
    tracks.insert_track(None)
    found = figures(tracks)
    assert found["total_archived"] == 1
    assert found["pending_archive"] == 3
    assert found["urgent_archive_needed"] == 2
    assert found["expired_tracks"] == 2
    assert found["failed_archive"] == 2
    assert found["archive_percentage"] == Decimal("16.7")


def test_share_archived_in_time_counts_thirty_days(tracks: Tracks) -> None:
    archived(tracks, "14 days", "1 hour")
    archived(tracks, "20 days", "6 days")
    archived(tracks, "20 days", "1 day")  # too late
    tracks.insert_track(age="20 days")  # lost
    archived(tracks, "80 days", "70 days")  # long ago
    tracks.insert_track(age="80 days")  # lost long ago
    assert figures(tracks)["archived_in_time_percentage"] == Decimal("50.0")


def test_failures_and_duration_are_those_of_ended_jobs(tracks: Tracks) -> None:
    ended(tracks, "14 days", "completed", took="10 s")
    ended(tracks, "14 days", "completed", took="20 s")
    ended(tracks, "14 days", "failed", took="500 s")
    ended(tracks, "14 days", "completed", took="500 s", message="cancelled: by hand")
    ended(tracks, "14 days", "failed", ago="40 days")
    found = figures(tracks)
    assert found["failure_percentage"] == Decimal("33.3")
    assert found["average_archiving_time"] == timedelta(seconds=15)


def test_provider_decides_when_a_track_is_expired(tracks: Tracks) -> None:
    tracks.insert_track(provider="Replicate", age="2 hours")
    tracks.insert_track(provider="Replicate", age="10 minutes")
    found = figures(tracks)
    assert (found["expired_tracks"], found["urgent_archive_needed"]) == (1, 1)
