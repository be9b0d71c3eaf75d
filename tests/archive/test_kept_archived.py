"""An archived track: new sources are archived again, old saves take nothing back."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.archive.conftest import Tracks

NEW = "https://provider.example.com/new.mp3"
STALE = (
    "archived_to_storage = false, archived_at = null, storage_audio_url = null,"
    " storage_cover_url = null, storage_video_url = null, archive_scheduled_at = null"
)


@pytest.fixture
def archived(tracks: Tracks) -> UUID:
    track = tracks.insert_track(cover_url="https://provider.example.com/cover.jpg")
    tracks.store(track)
    return track


def wanted(tracks: Tracks, track: UUID) -> bool:
    job = tracks.job(track)
    return bool(job and job["status"] == "pending")


def test_changed_url_is_archived_at_once_and_the_old_copy_stays(
    tracks: Tracks, archived: UUID
) -> None:
    before = tracks.track(archived)
    tracks.update(archived, "audio_url = %s", NEW)
    row = tracks.track(archived)
    assert row["archived_to_storage"] is False and row["archived_at"] is None
    assert row["storage_audio_url"] == before["storage_audio_url"]
    assert tracks.one("select archive_scheduled_at <= now() from tracks") is True
    assert wanted(tracks, archived)
    assert tracks.one("select source from track_playback") == "storage"


def test_old_save_while_the_new_source_is_awaited_keeps_the_old_copy(
    tracks: Tracks, archived: UUID
) -> None:
    before = tracks.track(archived)
    tracks.update(archived, "audio_url = %s", NEW)
    tracks.update(archived, STALE)
    assert tracks.track(archived)["storage_audio_url"] == before["storage_audio_url"]
    assert wanted(tracks, archived)


def test_new_source_is_wanted_from_a_transaction_that_began_before_the_last_change(
    tracks: Tracks, archived: UUID
) -> None:
    later = "https://provider.example.com/later.mp3"
    with psycopg.connect(tracks.url) as held_open:
        held_open.execute("select now()")
        tracks.update(archived, "audio_url = %s", NEW)
        held_open.execute("update tracks set audio_url = %s where id = %s", (later, archived))
    job = tracks.job(archived)
    assert job is not None and job["original_audio_url"] == later


def test_new_source_of_a_track_that_is_not_complete_waits_for_its_completion(
    tracks: Tracks, archived: UUID
) -> None:
    tracks.update(archived, "audio_url = %s, status = 'processing'", NEW)
    assert not wanted(tracks, archived)
    tracks.update(archived, "status = 'completed'")
    assert wanted(tracks, archived)


@pytest.mark.parametrize("column", ["cover_url", "video_url"])
def test_cover_or_video_that_comes_later_is_wanted(
    tracks: Tracks, archived: UUID, column: str
) -> None:
    tracks.update(archived, f"{column} = 'https://provider.example.com/later'")
    assert tracks.track(archived)["archived_to_storage"] is True
    assert wanted(tracks, archived)


def test_whole_row_saved_as_it_was_is_put_right(tracks: Tracks, archived: UUID) -> None:
    before = tracks.track(archived)
    tracks.update(archived, f"title = 'Renamed', {STALE}")
    assert tracks.track(archived) == {**before, "title": "Renamed"}
    assert not wanted(tracks, archived)
    assert tracks.notices == []


def test_earlier_url_of_ours_does_not_come_back(tracks: Tracks, archived: UUID) -> None:
    before = tracks.track(archived)
    stale = before["storage_audio_url"].replace(".mp3", ".wav")
    tracks.update(archived, "title = 'Renamed', storage_audio_url = %s", stale)
    assert tracks.track(archived)["storage_audio_url"] == before["storage_audio_url"]


def test_url_that_the_application_sets_itself_counts(tracks: Tracks, archived: UUID) -> None:
    tracks.update(archived, "storage_audio_url = 'https://cdn.example.com/own.mp3'")
    assert tracks.track(archived)["storage_audio_url"] == "https://cdn.example.com/own.mp3"


def test_old_save_is_put_right_whatever_the_status(tracks: Tracks, archived: UUID) -> None:
    tracks.update(archived, f"status = 'hidden', {STALE}")
    row = tracks.track(archived)
    assert row["archived_to_storage"] is True and row["storage_audio_url"]


def test_lost_provider_url_takes_nothing_from_an_archived_track(
    tracks: Tracks, archived: UUID
) -> None:
    tracks.update(archived, "audio_url = null")
    row = tracks.track(archived)
    assert row["archived_to_storage"] is True and row["storage_audio_url"]


def test_without_a_valid_copy_the_row_is_archived_anew(tracks: Tracks, archived: UUID) -> None:
    tracks.sql("update media_worker.objects set doomed = true")
    tracks.update(archived, STALE)
    assert tracks.track(archived)["archived_to_storage"] is False
    assert wanted(tracks, archived)


def test_track_archived_by_hand_survives_an_old_save(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.one("select mark_track_archived(%s, 'https://elsewhere.example.com/a.mp3')", track)
    tracks.update(track, STALE)
    row = tracks.track(track)
    assert row["archived_to_storage"] is True
    assert row["storage_audio_url"] == "https://elsewhere.example.com/a.mp3"
    assert not wanted(tracks, track)


def test_url_moved_into_the_teams_storage_is_no_new_source(tracks: Tracks, archived: UUID) -> None:
    tracks.sql(
        "select media_worker.archive_configure(array['https://storage.example.com/tracks-audio/'])"
    )
    url = "https://storage.example.com/tracks-audio/uploaded/by-hand.mp3"
    tracks.update(archived, "audio_url = %s", url)
    row = tracks.track(archived)
    assert row["archived_to_storage"] is True
    assert row["storage_audio_url"] == url
    assert not wanted(tracks, archived)


def test_upsert_of_a_whole_stale_row_is_put_right(tracks: Tracks, archived: UUID) -> None:
    before = tracks.track(archived)
    tracks.sql(
        "insert into tracks (id, user_id, provider, status, audio_url, cover_url, created_at)"
        " select id, user_id, provider, status, audio_url, cover_url, created_at from tracks"
        " on conflict (id) do update set archived_to_storage = excluded.archived_to_storage,"
        " storage_audio_url = excluded.storage_audio_url, archived_at = excluded.archived_at"
    )
    assert tracks.track(archived) == before
    assert not wanted(tracks, archived)
