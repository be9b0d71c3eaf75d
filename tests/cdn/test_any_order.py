"""Deleted and inserted again, in any timing: the last committed row counts, and no write fails."""

from __future__ import annotations

import pytest

from tests.cdn.sql import DELETES, FIRST, UPLOADS, AudioTracks, Run


def test_track_that_is_deleted_and_inserted_again_is_uploaded(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    with audio_tracks.connection.transaction():
        audio_tracks.delete()
        audio_tracks.insert(file_path="b.mp3")
    assert audio_tracks.wanted() == UPLOADS
    audio_tracks.delete()
    audio_tracks.insert(file_path="c.mp3")
    job = audio_tracks.job()
    assert audio_tracks.wanted() == UPLOADS and job and job["track_deleted"] is False


def test_track_that_is_inserted_again_without_a_file_keeps_no_earlier_copy(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    with audio_tracks.connection.transaction():
        audio_tracks.delete()
        audio_tracks.insert(file_path=None)
    assert audio_tracks.wanted() == DELETES
    loaded = Run.of(audio_tracks).load()
    assert (loaded["wanted"], loaded["exists"]) == ("delete", True)


def test_statement_that_replaces_a_row_by_one_of_the_same_id_uploads_it(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.sql(
        "with gone as (delete from audio_tracks returning track_id)"
        " insert into audio_tracks (track_id, file_path) select track_id, 'b.mp3' from gone"
    )
    assert audio_tracks.wanted() == UPLOADS
    # by MERGE, the insertion is told of before the deletion
    audio_tracks.upload()
    audio_tracks.sql(
        "merge into audio_tracks as t using (values ('b.mp3'), ('c.mp3')) as s(path)"
        " on t.file_path = s.path when matched then delete"
        " when not matched then insert (track_id, file_path) values ('a', s.path)"
    )
    assert audio_tracks.track()["file_path"] == "c.mp3"
    assert audio_tracks.wanted() == UPLOADS


def test_upsert_asks_once(audio_tracks: AudioTracks) -> None:
    upsert = (
        "insert into audio_tracks (track_id, file_path)"
        " select g::text, %s || g from generate_series(1, 20) as g"
        " on conflict (track_id) do update set file_path = excluded.file_path"
    )
    for path in ("one", "two", "two"):
        audio_tracks.sql(upsert, path)
    assert audio_tracks.one("select count(*) from cdn_sync_jobs") == 40
    assert audio_tracks.wake_ups() == 40
    assert audio_tracks.one("select count(*) from cdn_sync_jobs where file_path like 'two%%'") == 40


def test_changed_track_id_is_a_deletion_and_an_insertion(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("track_id = 'b'")
    assert audio_tracks.wanted("a") == DELETES and audio_tracks.wanted("b") == UPLOADS
    audio_tracks.remove("a")
    audio_tracks.upload("b")
    audio_tracks.update("track_id = 'a'", track="b")
    assert audio_tracks.wanted("b") == DELETES and audio_tracks.wanted("a") == UPLOADS


def test_ids_that_are_swapped_are_both_uploaded(audio_tracks: AudioTracks) -> None:
    for track in "ab":
        audio_tracks.insert(track, f"{track}.mp3")
        audio_tracks.upload(track)
    audio_tracks.sql("alter table audio_tracks drop constraint audio_tracks_pkey")
    audio_tracks.sql(
        "update audio_tracks set track_id = case track_id when 'a' then 'b' else 'a' end"
    )
    assert audio_tracks.wanted("a") == audio_tracks.wanted("b") == UPLOADS
    job = audio_tracks.job("a")
    assert job and job["file_path"] == "b.mp3"


# Two sessions ----------------------------------------------------------------------------------


def test_run_waits_for_whoever_holds_the_row_and_sees_what_they_wrote(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    run.store()
    with audio_tracks.another() as application:
        application.delete()
        said = audio_tracks.refused(
            "select media_worker.cdn_record(%s, %s, '', true, '', '', true, false)",
            run.job, run.token,
        )  # fmt: skip
        assert said.sqlstate == "55P03"
    assert run.record(version=version) == "gone"
    assert audio_tracks.wanted() == DELETES


def test_job_of_an_open_transaction_is_held(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    job = audio_tracks.job()
    assert job
    with audio_tracks.another() as application:
        application.update("file_path = 'b.mp3'")
        held = audio_tracks.sql(
            "select * from media_worker.claim('cdn', array[%s], gen_random_uuid(),"
            " gen_random_uuid())",
            job["id"],
        )
        assert [row["held"] for row in held] == [True]


def test_reinsertion_by_another_session_comes_after_the_deletion(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    with audio_tracks.another() as late:
        late.one("select now()")
        audio_tracks.delete()
        late.insert(file_path="b.mp3")
    job = audio_tracks.job()
    assert audio_tracks.wanted() == UPLOADS and job and job["track_deleted"] is False


# The application's write never fails -----------------------------------------------------------


def test_work_that_cannot_be_asked_for_at_once_is_asked_for_later(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    with audio_tracks.another() as operator:
        operator.sql("select * from cdn_sync_jobs for update")
        audio_tracks.delete()
        audio_tracks.insert("b")
    assert audio_tracks.wanted() == {} and audio_tracks.wanted("b") == UPLOADS
    assert audio_tracks.one("select media_worker.cdn_reconcile()") == 1
    job = audio_tracks.job()
    assert audio_tracks.wanted() == DELETES and job and job["track_deleted"] is True


def test_write_succeeds_when_nothing_of_ours_works(audio_tracks: AudioTracks) -> None:
    audio_tracks.sql("drop table cdn_sync_jobs, media_worker.cdn_postponed cascade")
    audio_tracks.insert(storage_locations={FIRST: True})
    audio_tracks.update("track_id = 'b'")
    audio_tracks.delete("b")
    assert audio_tracks.one("select count(*) from audio_tracks") == 0
    assert len(audio_tracks.warnings) >= 3
    audio_tracks.warnings.clear()


@pytest.mark.parametrize("track", ["../../x", "a" * 2000, "back\\slash\\x41", "ключ", "", " ", "/"])
def test_every_track_id_can_be_written(audio_tracks: AudioTracks, track: str) -> None:
    audio_tracks.insert(track)
    audio_tracks.upload(track)
    audio_tracks.update("file_path = 'b.mp3'", track=track)
    audio_tracks.delete(track)
    assert audio_tracks.wanted(track) == DELETES
    assert audio_tracks.one("select count(*) from cdn_sync_jobs") == 2
