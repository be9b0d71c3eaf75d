"""cdn_sync_status and cdn_statistics."""

from __future__ import annotations

from tests.cdn.sql import FIRST, SECOND, AudioTracks, Run


def test_status_has_a_line_per_track_and_target(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    Run.of(audio_tracks, target=SECOND).fail("not audio")
    first, second = audio_tracks.sql("select * from cdn_sync_status order by target desc")
    assert first == {
        "track_id": "a", "target": FIRST, "operation": "upload", "status": "completed",
        "cdn_url": audio_tracks.track()["cdn_url"],
        "uploaded_at": audio_tracks.track()["cdn_uploaded_at"], "error_message": None,
    }  # fmt: skip
    assert second == {
        "track_id": "a", "target": SECOND, "operation": "upload", "status": "failed",
        "cdn_url": None, "uploaded_at": None, "error_message": "not audio",
    }  # fmt: skip
    audio_tracks.delete()
    audio_tracks.remove()
    states = audio_tracks.sql("select distinct operation, status, cdn_url from cdn_sync_status")
    assert states == [{"operation": "delete", "status": "completed", "cdn_url": None}]


def test_statistics_have_a_line_per_target(audio_tracks: AudioTracks) -> None:
    for track in "abcd":
        audio_tracks.insert(track)
    audio_tracks.upload("a")
    audio_tracks.upload("b", FIRST)
    Run.of(audio_tracks, "c", FIRST).fail()
    Run.of(audio_tracks, "d", SECOND)
    audio_tracks.sql(
        "update cdn_sync_jobs set status = 'completed', error_message = 'cancelled: gone'"
        " where track_id = 'c' and target = %s",
        SECOND,
    )
    assert audio_tracks.sql("select * from cdn_statistics") == [
        {"target": FIRST, "uploaded": 2}
        | {"pending": 1, "processing": 0, "completed": 2, "failed": 1},
        {"target": SECOND, "uploaded": 1}
        | {"pending": 1, "processing": 1, "completed": 1, "failed": 0},
    ]


def test_statistics_count_what_rows_claim(untargeted: AudioTracks) -> None:
    untargeted.insert_older(f"""storage_locations = '{{"{FIRST}": true, "other": true}}'""", "a")
    untargeted.insert_older("storage_locations = '[]'", "b")
    assert untargeted.sql("select * from cdn_statistics") == []
    untargeted.configure(FIRST)
    assert untargeted.values("select uploaded from cdn_statistics") == [1]


def test_queue_health_knows_the_queue(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    assert audio_tracks.sql("select queue, waiting from queue_health where queue = 'cdn'") == [
        {"queue": "cdn", "waiting": 2}
    ]
