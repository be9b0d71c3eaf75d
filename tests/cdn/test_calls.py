"""sync_to_cdn and its kin."""

from __future__ import annotations

import pytest

from tests.cdn.sql import DELETES, FIRST, SECOND, UPLOADS, AudioTracks, Run


def test_upload_returns_the_tracks_job_rows(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    jobs = audio_tracks.values("select sync_to_cdn('a')")
    assert sorted(jobs) == sorted(audio_tracks.values("select id from cdn_sync_jobs"))
    assert audio_tracks.wanted() == UPLOADS
    assert audio_tracks.wake_ups() == 4


def test_delete_of_a_live_row_takes_it_off_the_cdn_for_good(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    assert len(audio_tracks.values("select sync_to_cdn('a', 'delete')")) == 2
    assert audio_tracks.track()["cdn_enabled"] is False
    assert audio_tracks.wanted() == DELETES
    audio_tracks.remove()
    audio_tracks.update("metadata = '{}'")
    audio_tracks.remove()
    assert audio_tracks.one("select backfill_cdn()") == 0
    assert audio_tracks.wanted() == {}
    assert len(audio_tracks.values("select sync_to_cdn('a')")) == 2
    assert audio_tracks.track()["cdn_enabled"] is True
    assert audio_tracks.wanted() == UPLOADS


def test_delete_looks_wherever_a_copy_can_be(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(cdn_enabled=False)
    assert len(audio_tracks.values("select sync_to_cdn('a', 'delete')")) == 2
    assert audio_tracks.wanted() == DELETES


def test_paths_are_written_to_the_row(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(file_path=None)
    audio_tracks.sql("select sync_to_cdn('a', 'upload', 'new.mp3', 'new.json')")
    row = audio_tracks.track()
    assert (row["file_path"], row["sidecar_path"]) == ("new.mp3", "new.json")
    assert audio_tracks.wanted() == UPLOADS
    assert audio_tracks.wake_ups() == 2
    audio_tracks.sql("select sync_to_cdn('a', sidecar_path => 'other.json')")
    row = audio_tracks.track()
    assert (row["file_path"], row["sidecar_path"]) == ("new.mp3", "other.json")
    audio_tracks.sql("select sync_to_cdn('a', 'delete', 'last.mp3')")
    assert audio_tracks.track()["file_path"] == "last.mp3"


def test_delete_of_a_track_that_is_gone_but_known(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.sql("truncate audio_tracks")
    assert len(audio_tracks.values("select sync_to_cdn('a', 'delete')")) == 2
    run = Run.of(audio_tracks)
    assert run.load()["wanted"] == "delete"
    assert run.withdraw() == "withdrawn"


@pytest.mark.parametrize(
    ("call", "code", "message", "hint"),
    [
        ("sync_to_cdn('x')", "P0002", "unknown track 'x'", "row of audio_tracks."),
        ("sync_to_cdn('x', 'delete')", "P0002", "unknown track 'x'", "cdn_sync_jobs"),
        ("sync_to_cdn(null)", "P0002", "unknown track null", "audio_tracks"),
        ("sync_to_cdn('a', 'purge')", "22023", "unknown operation 'purge'", "upload and delete"),
        ("sync_to_cdn('a', null)", "22023", "unknown operation null", "upload and delete"),
        ("sync_to_cdn('a')", "22023", "track 'a' cannot be uploaded: it has no file_path", "key"),
        ("sync_tracks_to_cdn('{a}', 'x')", "22023", "unknown operation 'x'", "upload and delete"),
        ("backfill_cdn(-1)", "22023", "max_rows is -1", "0 or more"),
        ("backfill_cdn(null)", "22023", "max_rows is null", "0 or more"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_hint(
    audio_tracks: AudioTracks, call: str, code: str, message: str, hint: str
) -> None:
    audio_tracks.insert(file_path=None)
    said = audio_tracks.refused(f"select {call}")
    assert (said.sqlstate, said.message_primary) == (code, message)
    assert hint in (said.message_hint or "")
    assert audio_tracks.wanted() == {}


def test_many_tracks_are_asked_for_at_once(audio_tracks: AudioTracks) -> None:
    for track in "abc":
        audio_tracks.insert(track, cdn_enabled=False)
    audio_tracks.insert("empty", None)
    many = "select sync_tracks_to_cdn('{c,unknown,empty,a,a}')"
    assert len(audio_tracks.values(many)) == 4
    assert audio_tracks.wanted("a") == audio_tracks.wanted("c") == UPLOADS
    assert audio_tracks.wanted("b") == audio_tracks.wanted("empty") == {}
    audio_tracks.sql("delete from audio_tracks where track_id = 'a'")
    gone = audio_tracks.values("select sync_tracks_to_cdn('{a,c,unknown}', 'delete')")
    assert len(gone) == 4
    assert audio_tracks.wanted("a") == audio_tracks.wanted("c") == DELETES
    assert audio_tracks.values("select sync_tracks_to_cdn(null)") == []
    assert audio_tracks.values("select sync_tracks_to_cdn('{}', 'delete')") == []


def test_call_before_the_first_worker_is_carried_out_then(untargeted: AudioTracks) -> None:
    untargeted.insert()
    assert untargeted.values("select sync_to_cdn('a')") == []
    untargeted.configure(FIRST)
    assert untargeted.one("select media_worker.cdn_reconcile()") == 1
    assert untargeted.wanted() == {FIRST: "upload"}


# Backfill and retries ----------------------------------------------------------------------------


def older_tracks(tracks: AudioTracks, count: int) -> None:
    tracks.sql("set session_replication_role = replica")
    tracks.sql(
        "insert into audio_tracks (track_id, file_path, created_at)"
        " select 't' || g, g || '.mp3', timestamptz '2026-01-01' - g * interval '1 day'"
        " from generate_series(1, %s) as g",
        count,
    )
    tracks.sql("set session_replication_role = origin")


def test_backfill_takes_the_oldest_first_and_comes_to_an_end(audio_tracks: AudioTracks) -> None:
    older_tracks(audio_tracks, 12)
    assert audio_tracks.one("select backfill_cdn(5)") == 5
    assert audio_tracks.values("select distinct track_id from cdn_sync_jobs order by 1") == [
        "t10", "t11", "t12", "t8", "t9",
    ]  # fmt: skip
    assert [audio_tracks.one("select backfill_cdn(5)") for _ in range(3)] == [5, 2, 0]
    assert audio_tracks.one("select count(*) from cdn_sync_jobs") == 24


def test_backfill_is_served_behind_new_work(audio_tracks: AudioTracks) -> None:
    older_tracks(audio_tracks, 3)
    audio_tracks.sql("select backfill_cdn()")
    audio_tracks.insert("new")
    first = "select args #>> '{ids,0}' from procrastinate.procrastinate_jobs"
    ids = audio_tracks.values(f"{first} order by priority desc, id limit 2")
    assert {
        audio_tracks.one("select track_id from cdn_sync_jobs where id = %s", i) for i in ids
    } == {"new"}
    audio_tracks.update("file_path = 'changed.mp3'", track="t1")
    ids = audio_tracks.values(f"{first} order by priority desc, id limit 4")
    found = {audio_tracks.one("select track_id from cdn_sync_jobs where id = %s", i) for i in ids}
    assert found == {"new", "t1"}
    behind = {each: Run.of(audio_tracks, each).load()["behind"] for each in ("new", "t1", "t2")}
    assert behind == {"new": False, "t1": False, "t2": True}


def test_backfill_asks_only_where_a_copy_is_missing(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert("both")
    audio_tracks.upload("both")
    audio_tracks.insert("half")
    audio_tracks.upload("half", FIRST)
    audio_tracks.sql("delete from cdn_sync_jobs where status = 'pending'")
    audio_tracks.insert("queued")
    audio_tracks.insert("failed")
    for target in (FIRST, SECOND):
        Run.of(audio_tracks, "failed", target).fail()
    audio_tracks.insert("off", cdn_enabled=False)
    audio_tracks.insert("empty", None)
    assert audio_tracks.one("select backfill_cdn()") == 1
    assert audio_tracks.wanted("half") == {SECOND: "upload"}
    assert audio_tracks.wanted("failed") == {}


def test_backfill_leaves_out_who_is_being_deleted(audio_tracks: AudioTracks) -> None:
    older_tracks(audio_tracks, 2)
    with audio_tracks.another() as application:
        application.delete("t2")
        assert audio_tracks.one("select backfill_cdn()") == 1
    assert audio_tracks.wanted("t2") == {} and audio_tracks.wanted("t1") == UPLOADS


def test_failed_work_is_retried(audio_tracks: AudioTracks) -> None:
    for track in "ab":
        audio_tracks.insert(track)
        Run.of(audio_tracks, track).fail()
    assert audio_tracks.one("select retry_failed_cdn_syncs()") == 2
    assert audio_tracks.one("select retry_failed_cdn_syncs()") == 0
    job = audio_tracks.job()
    assert job and (job["status"], job["attempts"], job["error_message"]) == ("pending", 0, None)
