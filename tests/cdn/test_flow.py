"""A track on its way to two targets and off them: written by the application, done by a worker."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.cdn.site import FIRST, MELODY, SECOND, Site
from worker.demo.bodies import media

WAV = media("chime.wav").content


def test_insert_puts_audio_and_sidecar_on_both_targets(site: Site) -> None:
    site.start()
    site.insert("t1", metadata={"title": "Song", "bpm": 120.50})
    site.wait_for_rest()
    site.assert_copied("t1", sidecar={"title": "Song", "bpm": 120.5, "track_id": "t1"})
    for place in site.targets.values():
        assert place.keys() == ["audio/t1.mp3", "metadata/t1.json"]
        audio, sidecar = place.head("audio/t1.mp3"), place.head("metadata/t1.json")
        assert audio["ContentType"] == "audio/mpeg"
        assert audio["CacheControl"] == "public, max-age=3600"
        assert sidecar["ContentType"] == "application/json"
        assert sidecar["CacheControl"] == "public, max-age=300"


def test_row_and_jobs_say_where_the_copies_are(site: Site) -> None:
    before = datetime.now(UTC)
    site.insert("t1")
    site.work()
    row = site.row("t1")
    locations = row["storage_locations"]
    stamps = locations.pop("upload_timestamps")
    assert locations == {"supabase": True, FIRST: True, SECOND: True}
    assert set(stamps) == set(locations)
    for stamp in stamps.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
        assert abs((datetime.fromisoformat(stamp) - before).total_seconds()) < 60
    assert row["cdn_url"] == "https://cdn.example.com/audio/t1.mp3"
    assert before <= row["cdn_uploaded_at"] <= datetime.now(UTC)
    first, second = site.job("t1"), site.job("t1", SECOND)
    assert first["cdn_url"] == row["cdn_url"]
    assert first["sidecar_cdn_url"] == "https://cdn.example.com/metadata/t1.json"
    assert second["cdn_url"] == f"{site.second.front.endpoint}/{site.second.bucket}/audio/t1.mp3"
    assert {job["status"] for job in (first, second)} == {"completed"}
    assert {job["attempts"] for job in (first, second)} == {1}
    assert first["error_message"] is None


def test_delete_makes_both_files_vanish_from_both_targets(site: Site) -> None:
    site.insert("t1")
    site.insert("other")
    site.work()
    site.delete("t1")
    site.work()
    site.assert_nowhere("t1")
    site.assert_copied("other")
    assert site.job("t1")["status"] == "completed" and site.job("t1")["cdn_url"] is None
    assert site.one("select count(*) from cdn_sync_status where cdn_url is not null") == 2


def test_copies_withdrawn_by_hand_stay_away_until_they_are_asked_for(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.sql("select sync_to_cdn('t1', 'delete')")
    site.work()
    site.assert_nowhere("t1")
    row = site.row("t1")
    assert row["cdn_url"] is None and row["cdn_uploaded_at"] is None
    assert row["storage_locations"] == {
        "supabase": True,
        FIRST: False,
        SECOND: False,
        "upload_timestamps": {
            "supabase": row["storage_locations"]["upload_timestamps"]["supabase"]
        },
    }
    site.update("t1", "metadata = '{\"a\": 1}'")
    assert site.one("select backfill_cdn()") == 0
    site.work()
    site.assert_nowhere("t1")
    site.sql("select sync_to_cdn('t1')")
    site.work()
    site.assert_copied("t1", sidecar={"a": 1, "track_id": "t1"})
    assert site.row("t1")["cdn_url"]


def test_new_audio_replaces_the_old_at_the_same_key(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.source.put("songs/new.wav", WAV)
    site.update("t1", "file_path = 'songs/new.wav'")
    site.work()
    site.assert_copied("t1", WAV)
    for place in site.targets.values():
        assert place.keys() == ["audio/t1.mp3", "metadata/t1.json"]
        assert place.head("audio/t1.mp3")["ContentType"] == "audio/wav"


def test_new_metadata_send_the_sidecar_alone(site: Site) -> None:
    site.insert("t1", metadata={"a": 1})
    site.work()
    puts = site.first.front.count("PUT")
    site.update("t1", "metadata = '{\"a\": 2}'")
    site.work()
    site.assert_copied("t1", sidecar={"a": 2, "track_id": "t1"})
    assert site.first.front.count("PUT") == puts + 1


def test_delete_and_insert_again_ends_with_the_last_bytes(site: Site) -> None:
    site.source.put("new.wav", WAV)
    site.insert("t1")
    site.work()
    site.delete("t1")
    site.insert("t1", "new.wav")
    site.work()
    site.assert_copied("t1", WAV)


def test_track_with_another_id_moves(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.update("t1", "track_id = 't2'")
    site.work()
    site.assert_nowhere("t1")
    site.assert_copied("t2")


def test_track_without_a_file_gets_no_copies_and_keeps_those_it_has(site: Site) -> None:
    site.insert("t1")
    site.sql("insert into audio_tracks (track_id) values ('empty')")
    site.work()
    site.update("t1", "file_path = null")
    site.work()
    site.assert_copied("t1")
    site.assert_nowhere("empty")


def test_backfill_serves_the_tracks_that_were_there_before(site: Site) -> None:
    site.sql("alter table audio_tracks disable trigger user")
    for name in ("a", "b", "c"):
        site.insert(name)
    site.sql("alter table audio_tracks enable trigger user")
    site.work()
    assert site.first.keys() == []
    assert site.one("select backfill_cdn(2)") == 2
    site.work()
    assert site.one("select backfill_cdn()") == 1
    site.work()
    for name in ("a", "b", "c"):
        site.assert_copied(name)
    assert site.one("select backfill_cdn()") == 0


def test_tracks_written_while_no_target_was_known_are_found(site: Site) -> None:
    site.sql("delete from media_worker.cdn_targets")
    site.insert("t1")
    assert site.job("t1") == {}
    site.start()
    site.wait_for("select count(*) = 2 from cdn_sync_jobs where status = 'completed'")
    site.assert_copied("t1")


def test_further_target_gets_copies_by_backfill_without_touching_the_first(site: Site) -> None:
    site.sql("select media_worker.cdn_configure(array['r2_cdn'])")
    site.insert("t1")
    site.work(CDN_TARGETS=FIRST)
    site.assert_nowhere("t1", SECOND)
    uploaded_at, puts = site.row("t1")["cdn_uploaded_at"], site.first.front.count("PUT")
    site.work()
    assert site.one("select backfill_cdn()") == 1
    site.work()
    site.assert_copied("t1")
    assert site.row("t1")["cdn_uploaded_at"] == uploaded_at
    assert site.first.front.count("PUT") == puts


def test_prefixes_are_settings_and_older_copies_move(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.sql("select sync_to_cdn('t1')")
    site.work(CDN_AUDIO_PREFIX="a/b/", CDN_METADATA_PREFIX="m")
    assert site.first.keys() == ["a/b/t1.mp3", "m/t1.json"]
    assert site.row("t1")["cdn_url"] == "https://cdn.example.com/a/b/t1.mp3"
    site.delete("t1")
    site.work()
    site.assert_nowhere("t1")


def test_metadata_keep_every_digit(site: Site) -> None:
    site.insert("t1", metadata='{"n": 0.1000000000000000055511151231257827, "big": 1e400}')
    site.insert("list", metadata="[1, 2]")
    site.work()
    assert b"0.1000000000000000055511151231257827" in site.first.read("metadata/t1.json")
    assert b"Infinity" not in site.first.read("metadata/t1.json")
    site.assert_copied("list", MELODY, sidecar={"track_id": "list", "metadata": [1, 2]})
