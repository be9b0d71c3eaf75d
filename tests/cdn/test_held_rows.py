"""What others hold: the application neither waits for it nor fails, and nothing is lost."""

from __future__ import annotations

from threading import Thread

import pytest

from tests.cdn.sql import DELETES, UPLOADS, AudioTracks

RECONCILE = "select media_worker.cdn_reconcile()"


def notes(tracks: AudioTracks) -> int:
    return int(tracks.one("select count(*) from media_worker.cdn_postponed"))


@pytest.fixture
def pair(audio_tracks: AudioTracks) -> AudioTracks:
    """Two tracks with copies, at rest."""
    for track in "ab":
        audio_tracks.insert(track)
        audio_tracks.upload(track)
    audio_tracks.sql("set statement_timeout = '5s'")
    return audio_tracks


def test_change_of_a_track_whose_job_is_held_is_made_up_for(pair: AudioTracks) -> None:
    with pair.another() as operator:
        operator.sql("select from cdn_sync_jobs where track_id = 'a' for update")
        pair.update("file_path = 'new.mp3'")
        assert pair.one(RECONCILE) == 0
    assert pair.wanted() == {}
    assert pair.one(RECONCILE) == 1
    assert pair.wanted() == UPLOADS
    assert (pair.one(RECONCILE), notes(pair)) == (0, 0)


def test_application_is_no_victim_of_a_deadlock_with_an_operator(pair: AudioTracks) -> None:
    retry = "update cdn_sync_jobs set status = 'pending' where track_id = '%s'"
    with pair.another() as operator:
        operator.sql(retry % "b")
        with pair.connection.transaction():
            pair.update("file_path = 'new.mp3'", track="a")
            waiting = Thread(target=operator.sql, args=(retry % "a",))
            waiting.start()
            pair.update("file_path = 'new.mp3'", track="b")
        waiting.join()
    assert pair.wanted("a") == UPLOADS
    assert pair.one(RECONCILE) == 1


def test_deletion_of_a_track_whose_job_is_held_is_made_up_for(pair: AudioTracks) -> None:
    with pair.another() as operator:
        operator.sql("select from cdn_sync_jobs where track_id = 'a' for update")
        pair.delete("a")
    assert pair.one(RECONCILE) == 1
    job = pair.job()
    assert pair.wanted() == DELETES and job and job["track_deleted"] is True


def test_held_job_keeps_no_other_note_waiting(pair: AudioTracks) -> None:
    with pair.another() as operator:
        operator.sql("select from cdn_sync_jobs for update")
        pair.sql("update audio_tracks set file_path = 'new.mp3'")
    with pair.another() as operator:
        operator.sql("select from cdn_sync_jobs where track_id = 'a' for update")
        assert pair.one(RECONCILE) == 1
        assert pair.wanted("b") == UPLOADS
    assert pair.one(RECONCILE) == 1
    assert pair.wanted("a") == UPLOADS


def test_track_in_an_open_transaction_keeps_no_other_note_waiting(
    untargeted: AudioTracks,
) -> None:
    untargeted.insert("a")
    untargeted.insert("b")
    untargeted.configure("r2_cdn")
    with untargeted.another() as application:
        application.update("file_path = 'new.mp3'", track="a")
        assert untargeted.one(RECONCILE) == 1
    assert untargeted.one(RECONCILE) == 1
    job = untargeted.job("a")
    assert job and job["file_path"] == "new.mp3"


def test_held_job_keeps_no_other_track_from_the_backfill(pair: AudioTracks) -> None:
    pair.configure("r2_cdn", "bunny", "third")
    with pair.another() as application:
        application.update("metadata = '{}'", track="a")
        pair.sql("set lock_timeout = '2s'")
        assert pair.one("select backfill_cdn()") == 1
        assert pair.wanted("b") == {"third": "upload"}


def test_what_was_seen_last_of_a_track_counts(pair: AudioTracks) -> None:
    with pair.another() as operator:
        operator.sql("select from cdn_sync_jobs for update")
        pair.delete("a")
        pair.insert("a")
        pair.delete("b")
        assert notes(pair) == 3
    pair.sql("truncate audio_tracks")
    assert pair.one(RECONCILE) == 1
    assert pair.wanted("a") == {}, "a truncated table deletes nothing"
    assert pair.wanted("b") == DELETES


def test_note_waits_for_no_other_note(pair: AudioTracks) -> None:
    with pair.another() as operator, pair.another() as worker:
        operator.sql("select from cdn_sync_jobs for update")
        pair.update("file_path = 'new.mp3'")
        worker.sql("select from media_worker.cdn_postponed for update")
        pair.update("file_path = 'newer.mp3'")
    assert pair.one(RECONCILE) == 1
    job = pair.job()
    assert job and job["file_path"] == "newer.mp3"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_write_under_a_stricter_isolation_is_made_up_for(pair: AudioTracks, level: str) -> None:
    with pair.another() as application:
        application.sql(f"set transaction isolation level {level}")
        application.one("select count(*) from audio_tracks")
        pair.sql("update cdn_sync_jobs set status = 'failed'")
        application.update("file_path = 'new.mp3'")
    assert pair.one(RECONCILE) == 1
    assert pair.wanted() == UPLOADS
