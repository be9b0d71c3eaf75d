"""When a track is due: what its INSERT and its UPDATEs make of archive_scheduled_at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.archive.conftest import SOURCE, Tracks

CREATED = datetime(2026, 11, 1, 12, tzinfo=UTC)
TEAM_URL = "https://storage.example.com/tracks-audio/mine.mp3"


def scheduled(tracks: Tracks, track: UUID) -> datetime | None:
    found: datetime | None = tracks.track(track)["archive_scheduled_at"]
    return found


@pytest.fixture
def team_storage(tracks: Tracks) -> Tracks:
    tracks.sql(
        "select media_worker.archive_configure(array['https://storage.example.com/tracks-audio/'])"
    )
    return tracks


@pytest.mark.parametrize(
    ("provider", "days"),
    [("suno", 13), (None, 13), ("", 13), ("replicate", 0), ("Replicate", 0), ("REPLICATE", 0)],
)
def test_completed_track_is_scheduled_by_its_providers_policy(
    tracks: Tracks, provider: str | None, days: int
) -> None:
    track = tracks.insert_track(created_at=CREATED, provider=provider)
    assert scheduled(tracks, track) == CREATED + timedelta(days=days)
    assert tracks.notices == []


@pytest.mark.parametrize(
    ("audio", "status"),
    [(SOURCE, "processing"), (SOURCE, None), (None, "completed"), ("", "completed")],
)
def test_track_without_anything_to_archive_is_not_scheduled(
    tracks: Tracks, audio: str | None, status: str | None
) -> None:
    track = tracks.insert_track(audio, status=status)
    assert scheduled(tracks, track) is None
    assert tracks.job(track) is None


def test_track_without_created_at_is_due_now(tracks: Tracks) -> None:
    tracks.sql("alter table tracks alter created_at drop not null")
    track = tracks.insert_track(created_at=None)
    assert tracks.one("select archive_scheduled_at <= now() from tracks") is True
    assert tracks.job(track)


def test_due_track_gets_its_job_in_the_same_transaction(tracks: Tracks) -> None:
    with tracks.connection.transaction():
        track = tracks.insert_track()
        job = tracks.job(track)
        assert job and job["status"] == "pending"
        assert job["original_audio_url"] == SOURCE
        assert tracks.jobs() == 1


def test_track_of_another_day_makes_no_job(tracks: Tracks) -> None:
    track = tracks.insert_track(age="1 day")
    assert tracks.job(track) is None
    assert tracks.jobs() == 0


def test_value_of_the_application_wins(tracks: Tracks) -> None:
    own = datetime(2040, 1, 1, tzinfo=UTC)
    inserted = tracks.insert_track(archive_scheduled_at=own)
    updated = tracks.insert_track(age="1 day")
    tracks.update(updated, "archive_scheduled_at = %s, provider = 'replicate'", own)
    assert scheduled(tracks, inserted) == scheduled(tracks, updated) == own
    assert tracks.jobs() == 0


def test_own_value_of_an_unfinished_track_survives_its_completion(tracks: Tracks) -> None:
    own = datetime(2040, 1, 1, tzinfo=UTC)
    track = tracks.insert_track(status="queued", archive_scheduled_at=own)
    tracks.update(track, "status = 'processing'")
    tracks.update(track, "status = 'completed'")
    assert scheduled(tracks, track) == own


def test_null_is_no_value_of_the_applications_own(tracks: Tracks) -> None:
    track = tracks.insert_track(created_at=CREATED, archive_scheduled_at=None)
    assert scheduled(tracks, track) == CREATED + timedelta(days=13)
    tracks.update(track, "archive_scheduled_at = null")
    assert scheduled(tracks, track) == CREATED + timedelta(days=13)


def test_changed_creation_or_provider_computes_it_anew(tracks: Tracks) -> None:
    track = tracks.insert_track(created_at=CREATED)
    later = CREATED + timedelta(days=60)
    tracks.update(track, "created_at = %s", later)
    assert scheduled(tracks, track) == later + timedelta(days=13)
    tracks.update(track, "provider = 'Replicate'")
    assert scheduled(tracks, track) == later


@pytest.mark.parametrize("change", ["status = 'deleted'", "audio_url = null", "audio_url = ''"])
def test_leaving_completed_or_losing_the_url_clears_it(tracks: Tracks, change: str) -> None:
    track = tracks.insert_track(age="1 day")
    tracks.update(track, change)
    assert scheduled(tracks, track) is None


def test_completion_schedules(tracks: Tracks) -> None:
    track = tracks.insert_track(None, status="processing")
    assert tracks.job(track) is None
    tracks.update(track, "status = 'completed', audio_url = %s", SOURCE)
    assert tracks.job(track)


def test_irrelevant_update_does_no_work(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.sql("update track_archiving_jobs set status = 'failed', error_message = 'no'")
    tracks.sql("truncate procrastinate.procrastinate_jobs cascade")
    tracks.update(track, "title = 'Other', status = status, audio_url = audio_url")
    job = tracks.job(track)
    assert job and job["status"] == "failed"
    assert tracks.jobs() == 0


def test_changed_url_of_a_failed_track_is_tried(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.sql("update track_archiving_jobs set status = 'failed', error_message = 'no'")
    tracks.update(track, "audio_url = 'https://provider.example.com/new.mp3'")
    job = tracks.job(track)
    assert job and job["status"] == "pending" and job["error_message"] is None
    assert job["original_audio_url"] == "https://provider.example.com/new.mp3"


def test_upsert_of_the_same_rows_makes_no_second_job(tracks: Tracks) -> None:
    upsert = (
        "insert into tracks (id, status, audio_url, created_at, title)"
        " select (lpad(g::text, 32, '0'))::uuid, 'completed', 'https://x.org/' || g,"
        " now() - interval '14 days', %s from generate_series(1, 50) as g"
        " on conflict (id) do update set title = excluded.title, status = excluded.status,"
        " audio_url = excluded.audio_url"
    )
    tracks.sql(upsert, "one")
    tracks.sql(upsert, "two")
    assert tracks.one("select count(*) from track_archiving_jobs") == 50
    assert tracks.jobs() == 50
    assert tracks.notices == []


def test_teams_own_triggers_run_before_ours(tracks: Tracks) -> None:
    tracks.sql(
        "create function complete() returns trigger language plpgsql as"
        " $$ begin new.status := 'completed'; new.created_at := '2026-11-01 12:00Z';"
        " return new; end $$"
    )
    tracks.sql(
        "create trigger zebra before insert on tracks for each row execute function complete()"
    )
    track = tracks.insert_track(status="raw")
    assert scheduled(tracks, track) == CREATED + timedelta(days=13)


def test_audio_in_the_teams_storage_is_recorded_as_archived(team_storage: Tracks) -> None:
    track = team_storage.insert_track(TEAM_URL)
    row = team_storage.track(track)
    assert row["archived_to_storage"] is True and row["archived_at"]
    assert row["storage_audio_url"] == TEAM_URL
    assert team_storage.job(track) is None


def test_cover_at_the_provider_is_wanted_though_the_audio_is_stored(team_storage: Tracks) -> None:
    both = team_storage.insert_track(TEAM_URL, cover_url=TEAM_URL)
    cover = team_storage.insert_track(TEAM_URL, cover_url="https://provider.example.com/c.jpg")
    assert team_storage.job(both) is None
    assert team_storage.job(cover)


def test_reconciler_schedules_what_triggers_missed(tracks: Tracks) -> None:
    tracks.sql("set session_replication_role = replica")
    due, later = tracks.insert_track(), tracks.insert_track(age="1 day")
    tracks.sql("set session_replication_role = origin")
    assert scheduled(tracks, due) is None
    assert tracks.one("select media_worker.archive_schedule_missing()") == 2
    assert tracks.one("select media_worker.archive_schedule_missing()") == 0
    assert scheduled(tracks, later) is not None
    assert tracks.job(due) and not tracks.job(later)


def test_promotion_brings_in_what_falls_due(tracks: Tracks) -> None:
    track = tracks.insert_track(age="1 day")
    tracks.sql("set session_replication_role = replica")
    tracks.update(track, "archive_scheduled_at = now() - interval '1 minute'")
    tracks.sql("set session_replication_role = origin")
    assert tracks.one("select media_worker.archive_promote(interval '15 minutes')") == 1
    assert tracks.one("select media_worker.archive_promote()") == 0
    assert tracks.job(track)


def test_changed_id_keeps_files_and_job(tracks: Tracks) -> None:
    track, other = tracks.insert_track(), UUID(int=7)
    url = tracks.store(track)
    tracks.update(track, "id = %s", other)
    assert tracks.job(track) is None
    job = tracks.job(other)
    assert job and job["status"] == "completed"
    assert tracks.track(other)["storage_audio_url"] == url
    tracks.sql("delete from tracks")
    assert tracks.one("select count(*) from storage_cleanup_queue") == 1
    assert tracks.notices == []


def test_truncate_is_allowed_and_deletes_nothing(tracks: Tracks) -> None:
    tracks.store(tracks.insert_track())
    tracks.sql("truncate tracks")
    assert tracks.one("select count(*) from storage_cleanup_queue") == 0
