"""Targets come from the workers' settings: before, between and after."""

from __future__ import annotations

import pytest

from tests.cdn.sql import DELETES, FIRST, SECOND, UPLOADS, AudioTracks, Run


def reconcile(tracks: AudioTracks, most: int = 1000) -> int:
    return int(tracks.one("select media_worker.cdn_reconcile(%s)", most))


def postponed(tracks: AudioTracks) -> list[str]:
    return tracks.values("select track_id from media_worker.cdn_postponed order by 1")


def test_targets_are_kept_in_the_order_of_the_settings(audio_tracks: AudioTracks) -> None:
    known = "select name, position, active from media_worker.cdn_targets order by name"
    assert audio_tracks.sql(known) == [
        {"name": SECOND, "position": 2, "active": True},
        {"name": FIRST, "position": 1, "active": True},
    ]
    audio_tracks.configure(SECOND, "third", SECOND)
    assert audio_tracks.sql(known) == [
        {"name": SECOND, "position": 1, "active": True},
        {"name": FIRST, "position": 1, "active": False},
        {"name": "third", "position": 2, "active": True},
    ]


def test_worker_with_the_same_settings_writes_nothing(audio_tracks: AudioTracks) -> None:
    rows = "select ctid, xmax::text, * from media_worker.cdn_targets order by name"
    before = audio_tracks.sql(rows)
    with audio_tracks.another() as other:
        other.configure(FIRST, SECOND)
        audio_tracks.configure(FIRST, SECOND)
    assert audio_tracks.sql(rows) == before


@pytest.mark.parametrize("name", ["supabase", "upload_timestamps", ""])
def test_name_with_another_meaning_is_refused(untargeted: AudioTracks, name: str) -> None:
    said = untargeted.refused("select media_worker.cdn_configure(%s)", [name])
    assert said.constraint_name == "cdn_targets_name_is_free"


def test_what_was_written_before_the_first_worker_is_found(untargeted: AudioTracks) -> None:
    untargeted.insert_older("metadata = '{}'", track="old")
    untargeted.insert("a")
    untargeted.insert("b", None)
    untargeted.insert("c", cdn_enabled=False)
    untargeted.update("metadata = '{}'")
    assert postponed(untargeted) == ["a"]
    assert reconcile(untargeted) == 0
    untargeted.configure(FIRST, SECOND)
    assert reconcile(untargeted) == 1
    assert untargeted.wanted("a") == UPLOADS
    assert untargeted.values("select distinct track_id from cdn_sync_jobs") == ["a"]
    assert (reconcile(untargeted), postponed(untargeted)) == (0, [])


def test_it_is_read_as_it_is_then(untargeted: AudioTracks) -> None:
    for track in "abcd":
        untargeted.insert(track)
    untargeted.update("cdn_enabled = false", track="a")
    untargeted.update("file_path = null", track="b")
    untargeted.delete("c")
    assert postponed(untargeted) == ["a", "b", "d"]
    untargeted.configure(FIRST)
    assert reconcile(untargeted) == 3
    assert untargeted.values("select track_id from cdn_sync_jobs") == ["d"]


def test_deleted_row_is_remembered_with_what_it_claimed(untargeted: AudioTracks) -> None:
    untargeted.insert_older(f"""storage_locations = '{{"{SECOND}": true}}'""", "a")
    untargeted.insert_older("cdn_url = 'https://cdn.example.com/b.mp3'", "b")
    untargeted.insert_older("""storage_locations = '{"gone": true}'""", "c")
    for track in "abc":
        untargeted.delete(track)
    untargeted.configure(FIRST, SECOND)
    assert reconcile(untargeted) == 3
    assert untargeted.wanted("a") == {SECOND: "delete"}
    assert untargeted.wanted("b") == DELETES
    assert untargeted.wanted("c") == {}


def test_deleted_row_that_came_again_is_uploaded(untargeted: AudioTracks) -> None:
    untargeted.insert_older("cdn_url = 'https://cdn.example.com/a.mp3'")
    untargeted.delete()
    untargeted.insert()
    untargeted.configure(FIRST)
    assert reconcile(untargeted) == 1
    job = untargeted.job()
    assert untargeted.wanted() == {FIRST: "upload"} and job and job["track_deleted"] is False


def test_row_that_is_being_deleted_is_left_for_later(untargeted: AudioTracks) -> None:
    untargeted.insert()
    untargeted.configure(FIRST)
    with untargeted.another() as application:
        application.delete()
        assert reconcile(untargeted) == 0
        assert postponed(untargeted) == ["a"]
    assert reconcile(untargeted) == 0
    assert (postponed(untargeted), untargeted.wanted()) == ([], {})


def test_deletion_waits_for_who_asks_for_the_upload(untargeted: AudioTracks) -> None:
    untargeted.insert()
    untargeted.configure(FIRST)
    with untargeted.another() as worker:
        assert reconcile(worker) == 1
        untargeted.sql("set lock_timeout = '50ms'")
        assert untargeted.refused("delete from audio_tracks").sqlstate == "55P03"
    untargeted.delete()
    assert untargeted.wanted() == {FIRST: "delete"}


def test_many_are_found_step_by_step(untargeted: AudioTracks) -> None:
    untargeted.sql(
        "insert into audio_tracks (track_id, file_path)"
        " select g::text, g || '.mp3' from generate_series(1, 25) as g"
    )
    untargeted.configure(FIRST, SECOND)
    assert [reconcile(untargeted, 10) for _ in range(4)] == [10, 10, 5, 0]
    assert untargeted.one("select count(*) from cdn_sync_jobs") == 50


def test_rows_that_are_on_other_targets_are_left_to_the_backfill(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.configure(FIRST, SECOND, "third")
    assert reconcile(audio_tracks) == 0
    assert audio_tracks.job(target="third") is None
    assert audio_tracks.one("select backfill_cdn()") == 1
    assert audio_tracks.wanted() == {"third": "upload"}


def test_cdn_url_is_the_first_targets(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", SECOND)
    assert audio_tracks.track()["cdn_url"] is None
    assert audio_tracks.track()["cdn_uploaded_at"] is None
    audio_tracks.upload("a", FIRST)
    assert audio_tracks.track()["cdn_url"] == f"https://{FIRST}.example.com/audio/a.mp3"
    audio_tracks.configure(SECOND, FIRST)
    assert audio_tracks.track()["cdn_url"] == f"https://{FIRST}.example.com/audio/a.mp3"
    audio_tracks.update("file_path = 'b.mp3'")
    audio_tracks.upload("a", SECOND)
    assert audio_tracks.track()["cdn_url"] == f"https://{SECOND}.example.com/audio/a.mp3"
    assert not Run.of(audio_tracks).load()["first"]
