"""Archiving into a storage that refuses what R2 refuses."""

from __future__ import annotations

from tests.archive.conftest import Archive
from tests.support.strict_bucket import StrictBucket
from tests.support.strict_s3 import StrictS3
from worker.demo.bodies import media


def test_due_track_is_archived_on_a_strict_server(archive: Archive) -> None:
    provider = archive.provider
    track = archive.insert_track(
        provider.url("/ok/melody.mp3"), cover_url=provider.url("/ok/cover.jpg")
    )
    with StrictS3() as server:
        server.buckets |= {name: StrictBucket() for name in archive.buckets.values()}
        archive.start(
            "--once",
            STORAGE_ENDPOINT=server.endpoint,
            STORAGE_ACCESS_KEY_ID=server.access_key_id,
            STORAGE_SECRET_ACCESS_KEY=server.secret_access_key,
        )
        archive.wait_for_job(track, "completed")
        stem = f"{archive.track(track)['user_id']}/{track}"
        assert server.read(archive.buckets["audio"], f"{stem}.mp3") == media("melody.mp3").content
        assert server.read(archive.buckets["cover"], f"{stem}.jpg") == media("cover.jpg").content
        puts = [seen for seen in server.journal if seen.method == "PUT"]
        assert len(puts) == 2
        assert not any({"expect", "x-amz-trailer"} & seen.headers.keys() for seen in puts)
