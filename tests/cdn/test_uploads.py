"""What a run reads and records: only what still answers the row, and only what is there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cdn.sql import FIRST, SECOND, AudioTracks, Run

URL = f"https://{FIRST}.example.com/audio/a.mp3"


def stamps(tracks: AudioTracks) -> dict[str, Any]:
    found: dict[str, Any] = tracks.claims()["upload_timestamps"]
    return found


def test_run_reads_the_track_as_it_is_now(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(sidecar_path="a.json", metadata={"title": "A"})
    run = Run.of(audio_tracks)
    loaded = run.load()
    assert {name: loaded[name] for name in loaded if name not in ("version", "waited")} == {
        "track_id": "a", "target": FIRST, "wanted": "upload", "exists": True, "deleted": False,
        "enabled": True, "file_path": "a.mp3", "sidecar_path": "a.json",
        "metadata": {"title": "A"}, "attempts": 1, "stale": False, "behind": False,
        "first": True, "objects": [],
    }  # fmt: skip
    assert 0 <= loaded["waited"] < 60
    audio_tracks.update("file_path = 'b.mp3'")
    again = run.load()
    assert again["file_path"] == "b.mp3" and again["version"] != loaded["version"]
    assert not Run.of(audio_tracks, target=SECOND).load()["first"]


def test_lost_claim_reads_and_records_nothing(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    audio_tracks.sql("update cdn_sync_jobs set claim = gen_random_uuid()")
    assert run.load() is None
    assert run.record(version=version) == "claim lost"
    assert (run.withdraw(), run.deleted(), run.stale()) == ("claim lost", "claim lost", False)
    assert audio_tracks.claims() is None


def test_version_is_of_what_a_copy_is_made_of(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(metadata={"a": 1})
    run = Run.of(audio_tracks)
    versions = [run.load()["version"]]
    for change in (
        "file_path = null", "sidecar_path = 'a.mp3'", "metadata = '{}'", "metadata = null",
        "cdn_enabled = false", "file_path = 'a.mp3', sidecar_path = null",
    ):  # fmt: skip
        audio_tracks.update(change)
        versions.append(run.load()["version"])
    assert len(set(versions)) == len(versions)
    audio_tracks.update("metadata = '{\"a\": 1}', cdn_enabled = true, created_at = now()")
    assert run.load()["version"] == versions[0]


def test_object_that_somebody_else_is_at_is_suspect(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    run.store()
    found = {each["role"]: each for each in run.load()["objects"]}
    assert found["audio"] == {
        "role": "audio", "bucket": "bucket", "key": "audio/a.mp3", "bytes": 1, "sha256": None,
        "etag": "etag", "content_type": "mp3", "source_hash": "source", "state": "live",
    }  # fmt: skip
    audio_tracks.sql(
        "update media_worker.objects set claim = gen_random_uuid() where role = 'audio'"
    )
    audio_tracks.sql("update media_worker.objects set claim = %s where role = 'sidecar'", run.token)
    states = {each["role"]: each["state"] for each in run.load()["objects"]}
    assert states == {"audio": "suspect", "sidecar": "live"}
    assert Run.of(audio_tracks, target=SECOND).load()["objects"] == []


def test_upload_is_recorded_in_the_row_and_the_job(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(storage_locations={"own": 1, "upload_timestamps": {"own": "x"}})
    run = Run.of(audio_tracks)
    run.store()
    assert run.record(message="made a sidecar") == "recorded"
    row = audio_tracks.track()
    assert row["cdn_url"] == URL
    stamp = row["cdn_uploaded_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row["storage_locations"] == {
        "own": 1, FIRST: True, "supabase": True,
        "upload_timestamps": {"own": "x", FIRST: stamp, "supabase": stamp},
    }  # fmt: skip
    job = audio_tracks.job()
    assert job and (job["cdn_url"], job["uploaded_at"]) == (URL, row["cdn_uploaded_at"])
    assert job["sidecar_cdn_url"] == f"https://{FIRST}.example.com/metadata/a.json"
    assert audio_tracks.status() == ("completed", "made a sidecar")
    assert audio_tracks.wanted() == {SECOND: "upload"}


def test_timestamps_are_utc_in_every_session(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.sql("set timezone = 'Asia/Tokyo'")
    audio_tracks.upload()
    utc = "select to_char(cdn_uploaded_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    assert stamps(audio_tracks)[FIRST] == audio_tracks.one(f"{utc} from audio_tracks")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamps(audio_tracks)[SECOND])


def test_run_that_sent_nothing_keeps_the_times(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.sql("select media_worker.say_recording(true)")
    with audio_tracks.connection.transaction():
        audio_tracks.sql("select media_worker.say_recording(true)")
        audio_tracks.update(
            "cdn_uploaded_at = '2026-01-01Z', storage_locations = jsonb_set(storage_locations,"
            f"""'{{upload_timestamps,{FIRST}}}', '"2026-01-01T00:00:00Z"')"""
        )
    audio_tracks.update("metadata = '{}'")
    before = audio_tracks.sql("select xmin::text, ctid from audio_tracks")
    run = Run.of(audio_tracks)
    assert run.record(sent=False) == "recorded"
    assert audio_tracks.sql("select xmin::text, ctid from audio_tracks") == before
    assert stamps(audio_tracks)[FIRST] == "2026-01-01T00:00:00Z"
    audio_tracks.update("metadata = '[]'")
    assert Run.of(audio_tracks).record() == "recorded"
    assert stamps(audio_tracks)[FIRST] > "2026-01-02"
    assert audio_tracks.track()["cdn_uploaded_at"].isoformat() > "2026-01-02"


def test_copy_that_was_found_in_place_gets_a_time_if_it_has_none(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    run.store()
    assert run.record(sent=False) == "recorded"
    assert stamps(audio_tracks)[FIRST] and audio_tracks.track()["cdn_uploaded_at"]


def test_supabase_says_where_the_source_is(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(storage_locations={"supabase": True})
    audio_tracks.upload("a", FIRST)
    assert audio_tracks.claims()["supabase"] is True
    audio_tracks.update("file_path = 'https://example.com/a.mp3'")
    run = Run.of(audio_tracks)
    assert run.record(in_team_storage=False) == "recorded"
    assert audio_tracks.claims()["supabase"] is False
    assert set(stamps(audio_tracks)) == {FIRST}


def test_supabase_is_taken_back_though_the_copy_was_withdrawn_in_between(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    audio_tracks.update("cdn_enabled = false")
    run = Run.of(audio_tracks)
    assert (run.withdraw(), run.deleted()) == ("withdrawn", "deleted")
    audio_tracks.update("cdn_enabled = true, file_path = 'https://example.com/a.mp3'")
    run = Run.of(audio_tracks)
    assert run.record(in_team_storage=False) == "recorded"
    assert audio_tracks.claims()["supabase"] is False


def test_supabase_is_taken_back_from_a_track_with_a_new_id(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    audio_tracks.update("track_id = 'b', file_path = 'https://example.com/a.mp3'")
    assert audio_tracks.claims("b")["supabase"] is False


def test_supabase_of_the_applications_own_stays(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(file_path="https://example.com/a.mp3", storage_locations={"supabase": True})
    run = Run.of(audio_tracks)
    run.store()
    run.record(in_team_storage=False)
    assert audio_tracks.claims()["supabase"] is True


def test_track_that_changed_meanwhile_is_run_again(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    run.store()
    audio_tracks.update("metadata = '{}'")
    assert run.record(version=version) == "changed"
    assert audio_tracks.claims() is None
    assert Run.of(audio_tracks).load()["attempts"] == 1


def test_change_that_no_trigger_saw_is_run_again_too(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    audio_tracks.sql("set session_replication_role = replica")
    audio_tracks.update("metadata = '{}'")
    audio_tracks.sql("set session_replication_role = origin")
    assert run.record(version=version) == "changed"
    job = audio_tracks.job()
    assert job and job["runnable"] and job["attempts"] == 0


def test_copy_that_was_not_recorded_before_its_track_lost_its_file_goes(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    run, other = Run.of(audio_tracks), Run.of(audio_tracks, target=SECOND)
    version = run.load()["version"]
    run.store()
    audio_tracks.update("file_path = null")
    assert run.record(version=version) == "changed"
    loaded = Run.of(audio_tracks).load()
    assert (loaded["wanted"], loaded["exists"]) == ("delete", True)
    assert other.load()["wanted"] == "nothing"


def test_track_that_was_deleted_meanwhile_is_run_again_to_delete(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    run.store()
    audio_tracks.delete()
    assert run.record(version=version) == "gone"
    assert Run.of(audio_tracks).load()["wanted"] == "delete"


def test_track_that_is_merely_not_visible_is_not_deleted(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run, other = Run.of(audio_tracks), Run.of(audio_tracks, target=SECOND)
    version = run.load()["version"]
    run.store()
    audio_tracks.sql("truncate audio_tracks")
    assert run.record(version=version) == "gone"
    assert other.load()["wanted"] == "nothing"
    assert other.withdraw() == "changed"
    ended = ("completed", "cancelled: there is no such track")
    assert audio_tracks.status() == audio_tracks.status(target=SECOND) == ended


@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        ("delete from media_worker.objects where role = 'sidecar'", "sidecar"),
        ("update media_worker.objects set state = 'suspect'", "audio"),
        ("update media_worker.objects set doomed = true where role = 'sidecar'", "sidecar"),
        ("update media_worker.objects set claim = gen_random_uuid() where role = 'audio'", "audio"),
        ("update media_worker.objects set service = 'cdn:other'", "audio"),
    ],
)
def test_object_that_is_not_confirmed_any_more_is_not_claimed(
    audio_tracks: AudioTracks, harm: str, lost: str
) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    run.store()
    audio_tracks.sql(harm)
    assert run.record() == f"lost {lost}"
    assert audio_tracks.claims() is None
    assert audio_tracks.status()[0] == "processing"


def test_record_that_does_not_end_the_run_leaves_the_claim(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    run.store()
    assert run.stale() is True
    assert run.load()["stale"] is True
    assert run.record(stale=True, ends=False) == "recorded"
    assert audio_tracks.claims()[FIRST] is True
    assert audio_tracks.status()[0] == "processing" and run.load()["stale"] is True
    assert run.record(stale=False, sent=False) == "recorded"
    job = audio_tracks.job()
    assert job and job["stale"] is False and job["status"] == "completed"


def test_recording_asks_for_nothing(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    before = audio_tracks.wake_ups()
    audio_tracks.upload()
    audio_tracks.sql("update audio_tracks set created_at = now()")
    assert audio_tracks.wake_ups() == before
    assert audio_tracks.wanted() == {}
