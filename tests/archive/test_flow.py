"""A track on its way: inserted by the application, archived by a real worker."""

from __future__ import annotations

from tests.archive.conftest import Archive
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
    assert row["archived_to_storage"] is True
    assert archive.stored("audio", f"{stem}.mp3") == media("melody.mp3").content
    assert archive.stored("cover", f"{stem}.jpg") == media("cover.jpg").content
    assert archive.stored("video", f"{stem}.mp4") == media("clip.mp4").content
    assert row["storage_audio_url"].endswith(f"/{archive.buckets['audio']}/{stem}.mp3")
    assert job["metadata"]["audio"]["bytes"] == len(media("melody.mp3").content)
    assert archive.one("select source from track_playback where track_id = %s", track) == "storage"
    assert archive.one("select total_archived from archive_statistics") == 1
