"""What a lost run may have left on a target is looked at again, and mended."""

from __future__ import annotations

import pytest

from tests.cdn.sql import FIRST, SECOND, AudioTracks, Run


@pytest.fixture
def suspect(audio_tracks: AudioTracks) -> AudioTracks:
    """A track whose copy on the first target a lost run may have touched."""
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.sql(
        "update media_worker.objects set recheck_at = now() where service = %s and role = 'audio'",
        f"cdn:{FIRST}",
    )
    return audio_tracks


def recheck(tracks: AudioTracks, seen: str) -> str:
    found = tracks.sql(
        "select * from media_worker.begin_recheck(%s, gen_random_uuid(), %s)",
        TOKEN, [f"cdn:{FIRST}"],
    )  # fmt: skip
    assert [(row["service"], row["object_key"]) for row in found] == [
        (f"cdn:{FIRST}", "audio/a.mp3")
    ]
    said = tracks.one("select media_worker.end_recheck(%s, %s, %s)", found[0]["id"], TOKEN, seen)
    return str(said)


TOKEN = "11111111-1111-1111-1111-111111111111"


def test_other_services_objects_are_not_looked_at(suspect: AudioTracks) -> None:
    look = "select * from media_worker.begin_recheck(%s, gen_random_uuid(), %s)"
    assert suspect.sql(look, TOKEN, ["storage", f"cdn:{SECOND}"]) == []
    assert recheck(suspect, "same") == "verified"
    assert suspect.wanted() == {}


@pytest.mark.parametrize("seen", ["absent", "other"])
def test_copy_that_is_not_as_it_was_is_claimed_no_more_and_sent_again(
    suspect: AudioTracks, seen: str
) -> None:
    assert recheck(suspect, seen) == "uploaded again"
    assert suspect.wanted() == {FIRST: "upload"}
    row = suspect.track()
    assert (row["cdn_url"], row["cdn_uploaded_at"]) == (None, None)
    assert (row["storage_locations"][FIRST], row["storage_locations"][SECOND]) == (False, True)
    assert "audio" not in {
        each["role"] for each in Run.of(suspect).load()["objects"] if each["state"] == "live"
    }


def test_copy_that_is_not_wanted_goes(suspect: AudioTracks) -> None:
    suspect.update("cdn_enabled = false")
    suspect.settle()
    assert recheck(suspect, "other") == "deleted"
    assert suspect.wanted() == {FIRST: "delete"}
    suspect.delete()
    suspect.settle()
    suspect.sql("update media_worker.objects set recheck_at = now() where role = 'audio'")
    assert recheck(suspect, "other") == "deleted"
    assert suspect.wanted() == {FIRST: "delete"}
    assert Run.of(suspect).load()["deleted"] is True


def test_copy_of_a_track_that_is_merely_not_visible_stays(suspect: AudioTracks) -> None:
    suspect.sql("truncate audio_tracks")
    assert recheck(suspect, "other") == "left as it is"
    assert suspect.wanted() == {}


def test_absent_copy_that_nobody_wants_is_forgotten(suspect: AudioTracks) -> None:
    suspect.delete()
    suspect.settle()
    assert recheck(suspect, "absent") == "forgotten"
    assert suspect.wanted() == {}


def test_what_is_left_of_a_copy_goes_when_it_cannot_be_sent_again(suspect: AudioTracks) -> None:
    suspect.update("file_path = null")
    assert recheck(suspect, "absent") == "deleted"
    assert suspect.claims()[FIRST] is False and suspect.claims()[SECOND] is True
    assert suspect.wanted() == {FIRST: "delete"}
    assert Run.of(suspect).load()["wanted"] == "delete"


def test_copy_of_a_track_without_file_stays_as_it_is(suspect: AudioTracks) -> None:
    suspect.update("file_path = null")
    assert recheck(suspect, "other") == "left as it is"
    assert suspect.claims()[FIRST] is True


def test_deleted_object_that_a_lost_run_may_bring_back_is_looked_at_again(
    suspect: AudioTracks,
) -> None:
    suspect.delete()
    run = Run.of(suspect)
    run.withdraw()
    run.drop()
    left = suspect.sql("select state, bytes, etag, claim, role from media_worker.objects"
                       " where service = %s", f"cdn:{FIRST}")  # fmt: skip
    assert left == [
        {"state": "intent", "bytes": None, "etag": None, "claim": None, "role": "audio"}
    ]
    run.deleted()
    assert recheck(suspect, "absent") == "forgotten"


def test_object_of_another_run_is_not_forgotten(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload("a", FIRST)
    assert not audio_tracks.one(
        "select media_worker.forget_object(%s, 'bucket', 'audio/a.mp3', %s)", f"cdn:{FIRST}", TOKEN
    )
    assert audio_tracks.one("select count(*) from media_worker.objects") == 2
    assert audio_tracks.wanted() == {SECOND: "upload"}
