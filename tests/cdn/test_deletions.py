"""What a run that deletes copies reads and records."""

from __future__ import annotations

from tests.cdn.sql import FIRST, SECOND, UPLOADS, AudioTracks, Run


def test_row_claims_nothing_before_the_objects_go(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("cdn_enabled = false")
    run = Run.of(audio_tracks)
    assert run.withdraw() == "withdrawn"
    row = audio_tracks.track()
    assert (row["cdn_url"], row["cdn_uploaded_at"]) == (None, None)
    claims = row["storage_locations"]
    assert (claims[FIRST], claims[SECOND], claims["supabase"]) == (False, True, True)
    assert set(claims["upload_timestamps"]) == {SECOND, "supabase"}
    run.drop()
    assert run.deleted(message="gone") == "deleted"
    job = audio_tracks.job()
    assert job and (job["cdn_url"], job["sidecar_cdn_url"], job["uploaded_at"]) == (None,) * 3
    assert (job["operation"], *audio_tracks.status()) == ("delete", "completed", "gone")


def test_deletion_of_a_deleted_track(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.delete()
    audio_tracks.remove()
    assert audio_tracks.wanted() == {}
    assert audio_tracks.sql("select * from media_worker.objects") == []


def test_deletion_stops_when_the_copy_is_wanted_again(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.delete()
    run = Run.of(audio_tracks)
    audio_tracks.insert()
    assert run.withdraw() == "changed"
    assert audio_tracks.wanted() == UPLOADS
    assert Run.of(audio_tracks).load()["wanted"] == "upload"


def test_upload_that_is_wanted_during_the_deletion_follows_it(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("cdn_enabled = false")
    run = Run.of(audio_tracks)
    run.withdraw()
    audio_tracks.update("cdn_enabled = true")
    run.drop()
    assert run.deleted() == "deleted"
    job = audio_tracks.job()
    assert job and (job["status"], job["operation"]) == ("pending", "upload")
    audio_tracks.upload()
    assert audio_tracks.claims()[FIRST] is True


def test_deletion_that_does_not_end_the_run_leaves_the_cache_to_be_purged(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.delete()
    run = Run.of(audio_tracks)
    run.withdraw()
    run.stale()
    run.drop()
    assert run.deleted(ends=False) == "deleted"
    assert run.load()["stale"] is True
    assert run.deleted() == "deleted"
    job = audio_tracks.job()
    assert job and job["stale"] is False and job["status"] == "completed"


def test_copy_of_an_earlier_row_goes_when_the_new_one_has_no_file(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.delete()
    audio_tracks.insert(file_path=None)
    audio_tracks.remove()
    assert audio_tracks.claims() == {FIRST: False, SECOND: False, "upload_timestamps": {}}
    audio_tracks.update("file_path = 'b.mp3'")
    audio_tracks.upload()
    job = audio_tracks.job()
    assert job and job["track_deleted"] is False


def test_deletion_of_a_track_that_lost_its_file_meanwhile_is_pointless(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("cdn_enabled = false")
    run = Run.of(audio_tracks)
    audio_tracks.update("cdn_enabled = true, file_path = null")
    assert run.withdraw() == "changed"
    assert audio_tracks.claims()[FIRST] is True


def test_success_ends_the_outage_of_its_target_alone(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    for target in (FIRST, SECOND):
        run = Run.of(audio_tracks, target=target)
        audio_tracks.sql(
            "select media_worker.wait_for_service('cdn', %s, array[%s], %s, 'no', array[0.0])",
            run.token, run.job, f"cdn:{target}",
        )  # fmt: skip
    audio_tracks.sql("update media_worker.outages set next_probe_at = now() - interval '1 s'")
    audio_tracks.one("select media_worker.promote()")
    audio_tracks.upload("a", FIRST)
    assert audio_tracks.values("select service from media_worker.outages") == [f"cdn:{SECOND}"]


def test_work_of_deleted_tracks_is_forgotten_and_that_of_others_kept(
    audio_tracks: AudioTracks,
) -> None:
    for track in "ab":
        audio_tracks.insert(track)
        audio_tracks.upload(track)
    audio_tracks.delete("b")
    audio_tracks.remove("b")
    audio_tracks.sql("update cdn_sync_jobs set completed_at = now() - interval '1 year'")
    assert audio_tracks.one("select media_worker.forget_work(interval '30 days')") == 2
    assert audio_tracks.values("select distinct track_id from cdn_sync_jobs") == ["a"]
