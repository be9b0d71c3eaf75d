"""Many rows at a time cost set-based work."""

from __future__ import annotations

import time

from tests.cdn.sql import AudioTracks

MANY = 5_000


def insert_many(tracks: AudioTracks, count: int = MANY) -> None:
    tracks.sql(
        "insert into audio_tracks (track_id, file_path, metadata, storage_locations)"
        """ select 'track-' || g, g || '.mp3', '{"title": "Song"}', '{"supabase": true}'"""
        " from generate_series(1, %s) as g",
        count,
    )


def test_many_rows_are_asked_for_deleted_and_inserted_again(audio_tracks: AudioTracks) -> None:
    # planned while there was nothing
    audio_tracks.insert()
    audio_tracks.delete()
    audio_tracks.sql("delete from cdn_sync_jobs")
    began = time.monotonic()
    insert_many(audio_tracks)
    audio_tracks.sql("update audio_tracks set metadata = '{}'")
    audio_tracks.sql("delete from audio_tracks")
    insert_many(audio_tracks)
    assert time.monotonic() - began < 30
    assert audio_tracks.sql(
        "select operation, status, track_deleted, count(*) from cdn_sync_jobs group by 1, 2, 3"
    ) == [{"operation": "upload", "status": "pending", "track_deleted": False, "count": 2 * MANY}]
    assert audio_tracks.wake_ups() == 2 * MANY + 2


def test_update_of_an_irrelevant_column_makes_no_work(audio_tracks: AudioTracks) -> None:
    insert_many(audio_tracks)
    audio_tracks.settle()
    before = audio_tracks.one("select max(updated_at) from cdn_sync_jobs")
    audio_tracks.sql("update audio_tracks set created_at = now(), file_path = file_path")
    assert audio_tracks.one("select max(updated_at) from cdn_sync_jobs") == before
    assert audio_tracks.wake_ups() == 0


def test_update_of_an_irrelevant_column_is_cheap(audio_tracks: AudioTracks) -> None:
    audio_tracks.sql("set session_replication_role = replica")
    insert_many(audio_tracks, 50_000)
    seconds_touching(audio_tracks)
    without = seconds_touching(audio_tracks)
    audio_tracks.sql("set session_replication_role = origin")
    # it takes about half as long again
    assert seconds_touching(audio_tracks) < 4 * without + 0.5
    assert audio_tracks.one("select count(*) from cdn_sync_jobs") == 0


def seconds_touching(tracks: AudioTracks) -> float:
    began = time.monotonic()
    tracks.sql("update audio_tracks set created_at = clock_timestamp()")
    return time.monotonic() - began


def test_two_sessions_that_write_overlapping_rows_do_not_deadlock(
    audio_tracks: AudioTracks,
) -> None:
    insert_many(audio_tracks, 200)
    with audio_tracks.another() as other:
        other.sql("update audio_tracks set metadata = '[]' where track_id < 'track-15'")
        audio_tracks.sql("update audio_tracks set metadata = '[]' where track_id >= 'track-15'")
    assert audio_tracks.one("select count(*) from cdn_sync_jobs where runnable") == 400


def test_many_are_backfilled_and_found_in_one_statement(untargeted: AudioTracks) -> None:
    insert_many(untargeted)
    untargeted.configure("one", "two", "three")
    assert untargeted.one("select media_worker.cdn_reconcile(%s)", MANY) == MANY
    assert untargeted.one("select count(*) from cdn_sync_jobs") == 3 * MANY
    untargeted.configure("one", "two", "three", "four")
    assert untargeted.one("select backfill_cdn(%s)", MANY + 1) == MANY
    assert untargeted.one("select count(*) from cdn_sync_jobs") == 4 * MANY
    assert untargeted.one("select backfill_cdn()") == 0
