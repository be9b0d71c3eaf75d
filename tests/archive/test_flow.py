"""A track on its way: inserted by the application, archived by a real worker."""

from __future__ import annotations

import hashlib
from uuid import uuid4

from tests.archive.conftest import Archive
from worker.demo.behaviour import Behaviour, refusal
from worker.demo.bodies import media


def test_due_track_is_archived_byte_for_byte(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"),
        cover_url=provider.url("/ok/cover.jpg"),
        video_url=provider.url("/ok/clip.mp4"),
    )
    archive.start()
    job = archive.wait_for_job(track, "completed")
    row = archive.track(track)
    stem = f"{row['user_id']}/{track}"
    assert row["archived_to_storage"] is True and row["archived_at"]
    assert archive.stored("audio", f"{stem}.mp3") == media("melody.mp3").content
    assert archive.stored("cover", f"{stem}.jpg") == media("cover.jpg").content
    assert archive.stored("video", f"{stem}.mp4") == media("clip.mp4").content
    for role, extension in (("audio", "mp3"), ("cover", "jpg"), ("video", "mp4")):
        url = f"{archive.s3.endpoint}/{archive.buckets[role]}/{stem}.{extension}"
        assert row[f"storage_{role}_url"] == job[f"storage_{role}_url"] == url
    assert archive.one("select source from track_playback where track_id = %s", track) == "storage"
    assert archive.one("select total_archived from archive_statistics") == 1


def test_object_and_job_say_what_was_stored(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    job = archive.wait_for_job(track, "completed")
    head = archive.s3.head(archive.buckets["audio"], archive.keys("audio")[0])
    content = media("melody.mp3").content
    assert head["ContentType"] == "audio/mpeg"
    assert "max-age" in head["CacheControl"]
    assert set(job["metadata"]) == {"audio"}
    assert job["metadata"]["audio"].pop("seconds") >= 0
    assert job["metadata"]["audio"] == {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content_type": "audio/mpeg",
    }
    assert job["attempts"] == 1 and job["error_message"] is None


def test_content_decides_on_extension_and_type(archive: Archive) -> None:
    provider, user = archive.provider, uuid4()
    provider.serve("/song.mp3", Behaviour(media("melody.m4a"), content_type="audio/mpeg"))
    provider.serve("/cover.jpg", Behaviour(media("cover.png"), content_type="image/jpeg"))
    m4a = archive.insert_track(
        provider.url("/song.mp3"), user_id=user, cover_url=provider.url("/cover.jpg")
    )
    wav = archive.insert_track(provider.url("/ok/chime.wav"), user_id=None)
    archive.work()
    assert archive.keys("audio") == sorted([f"{user}/{m4a}.m4a", f"no-user/{wav}.wav"])
    assert archive.keys("cover") == [f"{user}/{m4a}.png"]
    assert (
        archive.s3.head(archive.buckets["audio"], f"{user}/{m4a}.m4a")["ContentType"] == "audio/mp4"
    )


def test_cover_that_is_gone_is_listed_as_missing(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"),
        cover_url=provider.url("/gone.jpg"),
        video_url=provider.url("/ok/clip.mp4"),
    )
    archive.work()
    job = archive.wait_for_job(track, "completed")
    row = archive.track(track)
    assert job["metadata"]["missing"] == ["cover"]
    assert row["archived_to_storage"] is True
    assert row["storage_cover_url"] is None and row["storage_video_url"]


def test_cover_that_fails_for_a_while_is_tried_without_the_audio(archive: Archive) -> None:
    provider = archive.provider
    busy = refusal(503)
    cover = provider.serve("/cover.jpg", busy, busy, Behaviour(media("cover.jpg")))
    track = archive.insert_track(provider.url("/ok/melody.mp3"), cover_url=cover)
    archive.start()
    archive.wait_for("select archived_to_storage and storage_cover_url is null from tracks")
    job = archive.wait_for_job(track, "completed")
    assert archive.track(track)["storage_cover_url"]
    assert len(provider.requests("/cover.jpg")) == 3
    assert len(provider.requests("/ok/melody.mp3")) == 1
    assert job["metadata"]["audio"]["bytes"] and "missing" not in job["metadata"]


def test_audio_is_archived_while_the_covers_bucket_is_missing(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"), cover_url=provider.url("/ok/cover.jpg")
    )
    worker = archive.start(STORAGE_COVER_BUCKET="no-such-bucket")
    archive.wait_for("select archived_to_storage from tracks")
    archive.wait_for("select parked from track_archiving_jobs")
    assert (archive.job(track) or {})["attempts"] == 0
    worker.terminate()
    archive.start()
    archive.wait_for_job(track, "completed")
    assert archive.track(track)["storage_cover_url"]
    assert len(provider.requests("/ok/melody.mp3")) == 1


def test_old_save_of_the_row_downloads_nothing(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    before = archive.track(track)
    archive.update(
        track,
        "title = 'x', archived_to_storage = false, storage_audio_url = null, archived_at = null",
    )
    archive.one("select archive_tracks()")
    archive.work()
    assert archive.track(track) == {**before, "title": "x"}
    assert len(archive.provider.requests()) == 1


def test_cover_that_comes_later_leaves_the_audio_alone(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    archive.update(track, "cover_url = %s", archive.provider.url("/ok/cover.jpg"))
    archive.work()
    assert archive.track(track)["storage_cover_url"]
    assert len(archive.provider.requests("/ok/melody.mp3")) == 1


def test_cover_of_a_track_archived_by_hand_leaves_its_audio_alone(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"), age="1 day")
    archive.one("select mark_track_archived(%s, 'https://elsewhere.example.com/a.mp3')", track)
    archive.update(track, "cover_url = %s", archive.provider.url("/ok/cover.jpg"))
    archive.work()
    row = archive.track(track)
    assert row["storage_cover_url"]
    assert row["storage_audio_url"] == "https://elsewhere.example.com/a.mp3"
    assert archive.provider.requests("/ok/melody.mp3") == []


def test_new_source_replaces_the_copy_and_removes_the_superseded_object(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    archive.update(track, "audio_url = %s", archive.provider.url("/ok/chime.wav"))
    archive.work()
    assert archive.keys("audio") == [f"{archive.track(track)['user_id']}/{track}.wav"]
    assert archive.track(track)["storage_audio_url"].endswith(".wav")
    assert (
        archive.one("select reason || status from storage_cleanup_queue") == "supersededcompleted"
    )


def test_forced_archiving_of_a_track_that_changed_hands_moves_its_files(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    owner = uuid4()
    archive.update(track, "user_id = %s", owner)
    archive.one("select archive_track(%s, true)", track)
    archive.work()
    assert archive.keys("audio") == [f"{owner}/{track}.mp3"]
    assert f"{owner}/" in archive.track(track)["storage_audio_url"]
    assert len(archive.provider.requests()) == 2


def test_nearest_expiry_goes_first(archive: Archive) -> None:
    paths = {"13 days 1 hour": "c", "14 days 23 hours": "a", "14 days": "b", "16 days": "d"}
    for age, name in paths.items():
        archive.insert_track(archive.provider.serve(f"/{name}.mp3"), age=age)
    archive.start("--once", "--concurrency", "1").wait(30)
    order = [request.path for request in archive.provider.requests()]
    assert order == ["/a.mp3", "/b.mp3", "/c.mp3", "/d.mp3"]
