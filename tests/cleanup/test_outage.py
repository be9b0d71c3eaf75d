"""The team's storage does not work for a while: nothing is lost, and no try counts."""

from __future__ import annotations

from uuid import uuid4

from tests.archive.conftest import Archive


def test_what_waits_for_the_storage_is_archived_when_it_works_again(archive: Archive) -> None:
    bucket = f"later-{uuid4().hex[:12]}"
    url = archive.provider.url("/ok/melody.mp3")
    tracks = [archive.insert_track(url) for _ in range(5)]
    archive.start(STORAGE_AUDIO_BUCKET=bucket)
    archive.wait_for("select bool_and(parked) from track_archiving_jobs")
    job = archive.job(tracks[0]) or {}
    assert job["status"] == "pending" and "NoSuchBucket" in job["error_message"]
    assert archive.one("select max(attempts) from track_archiving_jobs") == 0
    archive.s3.create_buckets([bucket])
    archive.wait_for("select bool_and(status = 'completed') from track_archiving_jobs", timeout=40)
    assert len(archive.s3.keys(bucket)) == 5
    assert archive.one("select max(attempts) from track_archiving_jobs") == 1


def test_deletion_waits_for_the_storage(archive: Archive) -> None:
    track = archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    key, bucket = archive.keys("audio")[0], archive.buckets["audio"]
    archive.s3.boto.delete_object(Bucket=bucket, Key=key)
    archive.s3.boto.delete_bucket(Bucket=bucket)
    archive.sql("delete from tracks where id = %s", track)
    archive.start()
    archive.wait_for("select parked from storage_cleanup_queue")
    assert archive.one("select attempts from storage_cleanup_queue") == 0
    archive.s3.create_buckets([bucket])
    archive.wait_for("select status = 'completed' from storage_cleanup_queue", timeout=40)
    assert archive.one("select count(*) from media_worker.objects") == 0
