"""A deleted track's objects go, and only they; what is wanted again stays."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.archive.conftest import Archive
from worker.demo.behaviour import Behaviour, Gate
from worker.demo.bodies import GeneratedMp3, media

BIG = 2_000_000


def deletions(archive: Archive) -> list[str]:
    return [row["status"] for row in archive.sql("select status from storage_cleanup_queue")]


def held_up(archive: Archive, track: UUID, *, user_id: UUID | None = None) -> Gate:
    """Insert a track whose transfer stops halfway, and wait until it does."""
    gate = Gate(BIG // 2)
    body = GeneratedMp3(3, BIG)
    url = archive.provider.serve("/big.mp3", Behaviour(body, gate=gate), Behaviour(body))
    archive.insert_track(url, id=track, user_id=user_id)
    archive.start()
    assert gate.reached.wait(20)
    archive.wait_for("select count(*) from media_worker.objects")
    return gate


def test_deleted_track_takes_its_objects_along(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"),
        cover_url=provider.url("/ok/cover.jpg"),
        video_url=provider.url("/ok/clip.mp4"),
    )
    other = archive.insert_track(provider.url("/ok/melody.mp3"))
    archive.work()
    archive.sql("delete from tracks where id = %s", track)
    assert deletions(archive) == ["pending"] * 3
    archive.work()
    assert deletions(archive) == ["completed"] * 3
    assert archive.keys("cover") == archive.keys("video") == []
    assert archive.keys("audio") == [f"{archive.track(other)['user_id']}/{other}.mp3"]
    assert archive.one("select count(*) from media_worker.objects") == 1
    rows = archive.sql("select distinct source_table, source_id, reason from storage_cleanup_queue")
    assert rows == [{"source_table": "tracks", "source_id": str(track), "reason": "hard_delete"}]


def test_what_a_url_points_to_is_never_deleted(archive: Archive) -> None:
    archive.s3.boto.put_object(Bucket=archive.buckets["audio"], Key="mine.mp3", Body=b"mine")
    url = f"{archive.s3.endpoint}/{archive.buckets['audio']}/mine.mp3"
    archive.work()  # tells the triggers what the team's storage is
    track = archive.insert_track(url)
    marked = archive.insert_track(age="1 day")
    archive.one("select mark_track_archived(%s, %s)", marked, url)
    assert archive.track(track)["archived_to_storage"] is True
    archive.sql("delete from tracks")
    archive.sql(
        "insert into storage_cleanup_queue (bucket, object_key) values (%s, 'mine.mp3')",
        archive.buckets["audio"],
    )
    archive.work()
    (row,) = archive.sql("select status, error_message from storage_cleanup_queue")
    assert row["status"] == "completed" and row["error_message"].startswith("cancelled:")
    assert archive.keys("audio") == ["mine.mp3"]


def test_track_deleted_during_its_transfer_leaves_no_object(archive: Archive) -> None:
    track = uuid4()
    gate = held_up(archive, track)
    archive.sql("delete from tracks")
    gate.release()
    job = archive.wait_for_job(track, "completed")
    assert job["error_message"].startswith("cancelled:")
    archive.wait_for("select bool_and(status = 'completed') from storage_cleanup_queue")
    assert archive.keys("audio") == []
    assert archive.one("select count(*) from media_worker.objects") == 0


def test_waiting_work_of_a_deleted_track_is_cancelled(archive: Archive) -> None:
    track = archive.insert_track()
    archive.sql("delete from tracks")
    job = archive.job(track)
    assert job and job["status"] == "completed"
    assert job["error_message"].startswith("cancelled:")


def test_track_inserted_again_during_its_transfer_is_there_and_stays(archive: Archive) -> None:
    track, user = uuid4(), uuid4()
    gate = held_up(archive, track, user_id=user)
    archive.sql("delete from tracks")
    archive.insert_track(archive.provider.url("/ok/melody.mp3"), id=track, user_id=user)
    gate.release()
    archive.wait_for("select archived_to_storage from tracks")
    archive.wait_for_job(track, "completed")
    archive.wait_for("select bool_and(status = 'completed') from storage_cleanup_queue")
    assert archive.stored("audio", f"{user}/{track}.mp3") == media("melody.mp3").content


def test_track_inserted_again_while_its_deletion_waits_stays(archive: Archive) -> None:
    track, user = uuid4(), uuid4()
    archive.insert_track(archive.provider.serve("/a", Behaviour(GeneratedMp3(1, 9000))), id=track,
                         user_id=user)  # fmt: skip
    archive.work()
    archive.sql("select pause_queue('cleanup')")
    archive.sql("delete from tracks")
    archive.insert_track(archive.provider.url("/ok/melody.mp3"), id=track, user_id=user)
    archive.start()
    archive.wait_for("select archived_to_storage from tracks")
    assert deletions(archive) == ["pending"]
    archive.sql("select resume_queue('cleanup')")
    archive.wait_for("select bool_and(status = 'completed') from storage_cleanup_queue")
    assert (
        archive.one("select starts_with(error_message, 'cancelled:') from storage_cleanup_queue")
        is True
    )
    assert archive.stored("audio", f"{user}/{track}.mp3") == media("melody.mp3").content


def test_deletion_of_a_track_that_came_back_unfinished_is_dropped(archive: Archive) -> None:
    track, user = uuid4(), uuid4()
    archive.insert_track(archive.provider.url("/ok/melody.mp3"), id=track, user_id=user)
    archive.work()
    archive.sql("delete from tracks")
    archive.insert_track(None, id=track, user_id=user, status="draft")
    archive.work()
    assert archive.keys("audio") == [f"{user}/{track}.mp3"]
    archive.sql("delete from tracks")
    archive.work()
    assert archive.keys("audio") == []


def test_track_that_came_back_with_its_lost_source_finds_its_copy(archive: Archive) -> None:
    track, user = uuid4(), uuid4()
    url = archive.provider.url("/ok/melody.mp3")
    archive.insert_track(url, id=track, user_id=user)
    archive.work()
    archive.sql("select pause_queue('cleanup')")
    archive.sql("delete from tracks")
    archive.insert_track(url, id=track, user_id=user, age="30 days")
    archive.work()
    assert archive.track(track)["archived_to_storage"] is True
    assert len(archive.provider.requests()) == 1


def test_truncated_tracks_keep_their_objects_and_their_work_ends(archive: Archive) -> None:
    archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    waiting = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.sql("truncate tracks")
    archive.work()
    job = archive.job(waiting)
    assert job and job["status"] == "completed"
    assert job["error_message"] == "cancelled: there is no such track"
    assert deletions(archive) == []
    assert len(archive.keys("audio")) == 1
