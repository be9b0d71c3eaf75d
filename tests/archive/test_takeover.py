"""Open rows of a classic track_archiving_jobs become requests."""

from __future__ import annotations

from uuid import uuid4

from tests.archive.conftest import Tracks

TAKE_OVER = "select media_worker.take_over_classic_jobs()"


def classic(tracks: Tracks, columns: str = "track_id uuid, status text") -> None:
    tracks.sql(f"create table track_archiving_jobs_classic (id serial primary key, {columns})")


def test_without_a_classic_table_there_is_nothing_to_do(tracks: Tracks) -> None:
    assert tracks.one(TAKE_OVER) == 0


def test_open_rows_of_tracks_that_exist_are_asked_for(tracks: Tracks) -> None:
    classic(tracks)
    waiting, running, done, failed = (tracks.insert_track(age="1 day") for _ in range(4))
    archived = tracks.insert_track(age="1 day", archived_to_storage=True, storage_audio_url="s")
    rows = [
        (waiting, "pending"), (waiting, "pending"), (running, "processing"), (done, "completed"),
        (failed, "failed"), (archived, "pending"), (uuid4(), "pending"),
    ]  # fmt: skip
    for track, status in rows:
        tracks.sql("insert into track_archiving_jobs_classic (track_id, status) values (%s, %s)",
                   track, status)  # fmt: skip
    assert tracks.one(TAKE_OVER) == 2
    assert tracks.job(waiting) and tracks.job(running)
    assert tracks.one("select count(*) from track_archiving_jobs") == 2


def test_table_of_another_shape_is_passed_over(tracks: Tracks) -> None:
    classic(tracks, "song text")
    assert tracks.one(TAKE_OVER) == 0


def test_ids_kept_as_text_are_understood(tracks: Tracks) -> None:
    classic(tracks, "track_id text, status text")
    track = tracks.insert_track(age="1 day")
    tracks.sql(
        "insert into track_archiving_jobs_classic (track_id, status)"
        " values (upper(%s::text), null), ('no id', 'pending')",
        track,
    )
    assert tracks.one(TAKE_OVER) == 1
