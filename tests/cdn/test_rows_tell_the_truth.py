"""A row never claims a copy that is not there, whoever saves it."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.cdn.sql import FIRST, SECOND, AudioTracks, Run

LATER = "2040-01-01T00:00:00Z"


def there(tracks: AudioTracks) -> dict[str, Any]:
    row = tracks.track()
    return {name: row[name] for name in ("storage_locations", "cdn_url", "cdn_uploaded_at")}


@pytest.fixture
def copied(audio_tracks: AudioTracks) -> AudioTracks:
    """A track that is on the first target."""
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    return audio_tracks


def test_new_row_claims_nothing(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(
        storage_locations={
            "supabase": True,
            FIRST: True,
            "own": 1,
            "upload_timestamps": {"supabase": LATER, FIRST: LATER, "own": LATER},
        },
        cdn_url="https://cdn.example.com/a.mp3",
        cdn_uploaded_at="2040-01-01",
    )
    assert there(audio_tracks) == {
        "storage_locations": {
            "supabase": True,
            FIRST: False,
            "own": 1,
            "upload_timestamps": {"supabase": LATER, "own": LATER},
        },
        "cdn_url": None,
        "cdn_uploaded_at": None,
    }


@pytest.mark.parametrize("given", [None, {}, [1, 2], "text", 5])
def test_locations_without_claims_stay_as_they_are(audio_tracks: AudioTracks, given: Any) -> None:
    audio_tracks.sql(
        "insert into audio_tracks (track_id, storage_locations, cdn_url) values ('a', %s, 'x')",
        None if given is None else Jsonb(given),
    )
    assert audio_tracks.claims() == given


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        [],
        "text",
        {FIRST: False},
        {FIRST: None, SECOND: True},
        {FIRST: True, SECOND: "true", "upload_timestamps": {FIRST: LATER, SECOND: LATER}},
        {"upload_timestamps": "never"},
        {"upload_timestamps": {}},
    ],
)
def test_saved_row_keeps_what_is_known_of_its_copies(copied: AudioTracks, given: Any) -> None:
    before = there(copied)
    copied.sql(
        "update audio_tracks set storage_locations = %s, cdn_url = 'https://x.example.com',"
        " cdn_uploaded_at = null",
        None if given is None else Jsonb(given),
    )
    after = there(copied)
    assert (after["cdn_url"], after["cdn_uploaded_at"]) == (
        before["cdn_url"], before["cdn_uploaded_at"]
    )  # fmt: skip
    known = before["storage_locations"]
    assert after["storage_locations"][FIRST] is True
    assert (
        after["storage_locations"]["upload_timestamps"][FIRST]
        == (known["upload_timestamps"][FIRST])
    )
    assert after["storage_locations"].get(SECOND) in (None, False)
    assert SECOND not in after["storage_locations"]["upload_timestamps"]


def test_other_keys_are_the_applications(copied: AudioTracks) -> None:
    copied.update(
        "storage_locations = jsonb_set(storage_locations, '{supabase}', 'false')"
        """ || '{"backup": {"at": "home"}}'"""
    )
    claims = copied.claims()
    assert (claims["supabase"], claims["backup"]) == (False, {"at": "home"})
    copied.update("storage_locations = storage_locations - 'backup' - 'supabase'")
    assert set(copied.claims()) == {FIRST, "upload_timestamps"}


def test_row_that_is_saved_as_it_was_before_its_upload_does_no_harm(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert(storage_locations={"supabase": True})
    old = audio_tracks.track()
    audio_tracks.upload()
    before = there(audio_tracks)
    audio_tracks.sql(
        "update audio_tracks set storage_locations = %s, cdn_url = %s, cdn_uploaded_at = %s",
        Jsonb(old["storage_locations"]), old["cdn_url"], old["cdn_uploaded_at"],
    )  # fmt: skip
    after = there(audio_tracks)
    assert after["cdn_url"] == before["cdn_url"] is not None
    assert [after["storage_locations"][target] for target in (FIRST, SECOND)] == [True, True]
    assert audio_tracks.wanted() == {}


def test_row_that_is_saved_as_it_was_before_its_deletion_claims_nothing(
    copied: AudioTracks,
) -> None:
    copied.upload("a", SECOND)
    old = copied.track()
    copied.update("cdn_enabled = false")
    copied.remove()
    copied.sql(
        "update audio_tracks set storage_locations = %s, cdn_url = %s, cdn_uploaded_at = %s",
        Jsonb(old["storage_locations"]), old["cdn_url"], old["cdn_uploaded_at"],
    )  # fmt: skip
    row = there(copied)
    assert (row["cdn_url"], row["cdn_uploaded_at"]) == (None, None)
    assert [row["storage_locations"][target] for target in (FIRST, SECOND)] == [False, False]
    assert set(row["storage_locations"]["upload_timestamps"]) == {"supabase"}


def test_row_that_is_inserted_again_claims_nothing(copied: AudioTracks) -> None:
    old = copied.track()
    copied.delete()
    copied.insert(
        storage_locations=old["storage_locations"],
        cdn_url=old["cdn_url"],
        cdn_uploaded_at=old["cdn_uploaded_at"],
    )
    row = there(copied)
    assert row["storage_locations"][FIRST] is False and row["cdn_url"] is None


def test_row_with_a_new_id_claims_nothing(copied: AudioTracks) -> None:
    copied.update("track_id = 'b'")
    row = copied.track("b")
    assert (row["storage_locations"][FIRST], row["cdn_url"], row["cdn_uploaded_at"]) == (
        False, None, None
    )  # fmt: skip


def test_setting_of_a_users_session_is_no_word_of_ours(copied: AudioTracks) -> None:
    copied.sql("create role listener; grant select, update on audio_tracks to listener")
    copied.sql("alter table audio_tracks disable row level security")
    copied.sql("set role listener; set media_worker.recording = 'on'")
    try:
        copied.update(f"""cdn_url = 'x', storage_locations = '{{"{SECOND}": true}}'""")
    finally:
        copied.sql("reset role; reset media_worker.recording")
        copied.sql("drop owned by listener; drop role listener")
    assert copied.track()["cdn_url"] != "x" and copied.claims()[SECOND] is False


def test_before_any_target_is_known_all_is_the_applications(untargeted: AudioTracks) -> None:
    given = {FIRST: True, "upload_timestamps": {FIRST: LATER}}
    untargeted.insert(storage_locations=given, cdn_url="https://cdn.example.com/a.mp3")
    untargeted.update("cdn_url = 'https://cdn.example.com/b.mp3'")
    row = untargeted.track()
    assert row["storage_locations"] == given
    assert row["cdn_url"] == "https://cdn.example.com/b.mp3"


def test_claims_of_a_target_that_was_taken_out_are_kept(copied: AudioTracks) -> None:
    copied.configure(SECOND)
    copied.update("storage_locations = null")
    assert copied.claims()[FIRST] is True


def test_copy_that_is_recorded_ends_the_outage_though_its_run_goes_on(
    audio_tracks: AudioTracks,
) -> None:
    outage = (
        "insert into media_worker.outages (service, next_probe_at, message)"
        " select 'cdn:' || t, now() + interval '1 minute', 'away' from unnest(%s::text[]) as t"
    )
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    audio_tracks.sql(outage, [FIRST, SECOND])
    run.store()
    assert run.record(ends=False) == "recorded"
    assert audio_tracks.values("select service from media_worker.outages") == [f"cdn:{SECOND}"]
    run.finish()
    audio_tracks.delete()
    run = Run.of(audio_tracks)
    audio_tracks.sql(outage, [FIRST])
    assert run.withdraw() == "withdrawn"
    assert run.deleted(ends=False) == "deleted"
    assert audio_tracks.values("select service from media_worker.outages") == [f"cdn:{SECOND}"]


def test_copy_that_was_never_completed_takes_no_other_targets_url_away(
    audio_tracks: AudioTracks,
) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    other = Run.of(audio_tracks, "a", SECOND)
    other.store("audio")
    audio_tracks.update("file_path = null")
    before = audio_tracks.track()
    assert other.load()["wanted"] == "delete"
    assert other.withdraw() == "withdrawn"
    after = audio_tracks.track()
    assert after["cdn_url"] == before["cdn_url"] is not None
    assert after["cdn_uploaded_at"] == before["cdn_uploaded_at"]
    assert (after["storage_locations"][FIRST], after["storage_locations"][SECOND]) == (True, False)
