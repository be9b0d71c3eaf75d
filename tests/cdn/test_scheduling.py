"""What an application's writes to audio_tracks ask for."""

from __future__ import annotations

import pytest

from tests.cdn.sql import DELETES, FIRST, SECOND, UPLOADS, AudioTracks, Run


def test_insert_asks_for_a_copy_on_every_target_in_the_same_transaction(
    audio_tracks: AudioTracks,
) -> None:
    with audio_tracks.connection.transaction():
        audio_tracks.insert(sidecar_path="a.json")
        job = audio_tracks.job()
        assert job and (job["status"], job["operation"]) == ("pending", "upload")
        assert (job["file_path"], job["sidecar_path"]) == ("a.mp3", "a.json")
        assert job["service"] == f"cdn:{FIRST}"
        assert audio_tracks.wake_ups() == 2
    assert audio_tracks.wanted() == UPLOADS


@pytest.mark.parametrize("path", [None, ""])
def test_track_without_file_is_left_alone_until_it_has_one(
    audio_tracks: AudioTracks, path: str | None
) -> None:
    audio_tracks.insert(file_path=path)
    audio_tracks.update("metadata = '{}'")
    assert audio_tracks.wanted() == {}
    audio_tracks.update("file_path = 'a.mp3'")
    assert audio_tracks.wanted() == UPLOADS


def test_disabled_track_that_was_never_copied_is_left_alone(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(cdn_enabled=False)
    audio_tracks.update("file_path = 'b.mp3'")
    assert audio_tracks.sql("select * from cdn_sync_jobs") == []


@pytest.mark.parametrize(
    "change",
    [
        "file_path = 'https://example.com/b.mp3'",
        "sidecar_path = 'b.json'",
        """metadata = '{"title": "B"}'""",
    ],
)
def test_change_of_what_a_copy_is_made_of_asks_again(
    audio_tracks: AudioTracks, change: str
) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    assert audio_tracks.wanted() == {}
    audio_tracks.update(change)
    assert audio_tracks.wanted() == UPLOADS
    job = audio_tracks.job()
    assert job and job["file_path"] == audio_tracks.track()["file_path"]
    assert job["cdn_url"], "an earlier copy is still there"


@pytest.mark.parametrize(
    "change",
    [
        "created_at = now() - interval '1 day'",
        "file_path = file_path, metadata = metadata, cdn_enabled = cdn_enabled",
        """metadata = '{"b": 1,   "a": 2}'""",
        """storage_locations = '{"own": true}'""",
        "cdn_url = 'https://elsewhere.example.com'",
    ],
)
def test_update_that_changes_nothing_of_it_does_no_work(
    audio_tracks: AudioTracks, change: str
) -> None:
    audio_tracks.insert(metadata={"a": 2, "b": 1})
    audio_tracks.settle()
    audio_tracks.update(change)
    assert audio_tracks.wanted() == {}
    assert audio_tracks.wake_ups() == 0


def test_asking_again_makes_no_second_row_and_no_second_wake_up(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    for number in range(5):
        audio_tracks.update(f"file_path = '{number}.mp3'")
    assert audio_tracks.one("select count(*) from cdn_sync_jobs") == 2
    assert audio_tracks.wake_ups() == 2


def test_asking_again_during_a_run_leads_to_one_more(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    run = Run.of(audio_tracks)
    version = run.load()["version"]
    for number in range(3):
        audio_tracks.update(f"file_path = '{number}.mp3'")
    before = audio_tracks.wake_ups()
    run.store()
    assert run.record(version=version) == "changed"
    assert audio_tracks.wake_ups() == before + 1
    assert Run.of(audio_tracks).load()["file_path"] == "2.mp3"


def test_failed_work_starts_anew_when_its_track_changes(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    Run.of(audio_tracks).fail()
    audio_tracks.update("file_path = 'b.mp3'")
    job = audio_tracks.job()
    assert job and (job["status"], job["attempts"], job["error_message"]) == ("pending", 0, None)


def test_request_counts_from_the_write_and_not_from_its_transaction(
    audio_tracks: AudioTracks,
) -> None:
    with audio_tracks.connection.transaction():
        audio_tracks.one("select now()")
        audio_tracks.insert()
        assert audio_tracks.one("select bool_and(wanted_since > now()) from cdn_sync_jobs") is True


def test_failed_work_set_to_pending_is_wanted_anew(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    Run.of(audio_tracks).fail()
    audio_tracks.sql("update cdn_sync_jobs set wanted_since = now() - interval '2 days'")
    audio_tracks.sql("update cdn_sync_jobs set status = 'pending' where status = 'failed'")
    assert Run.of(audio_tracks).load()["waited"] < 60


# Deleting ----------------------------------------------------------------------------------------


def test_disabling_deletes_and_no_update_brings_it_back(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("cdn_enabled = false")
    assert audio_tracks.wanted() == DELETES
    audio_tracks.remove()
    audio_tracks.update("file_path = 'b.mp3', metadata = '{}'")
    assert audio_tracks.wanted() == DELETES
    audio_tracks.update("cdn_enabled = true")
    assert audio_tracks.wanted() == UPLOADS


def test_file_path_that_goes_leaves_the_copy(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.update("file_path = null")
    assert audio_tracks.wanted() == {}
    assert audio_tracks.claims()[FIRST] is True


def test_delete_asks_for_the_deletion_of_every_copy(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.delete()
    assert audio_tracks.wanted() == DELETES
    job = audio_tracks.job()
    assert job and job["track_deleted"] is True and job["file_path"] == "a.mp3"


def test_delete_counts_where_work_was_asked_for_only(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert(file_path=None)
    audio_tracks.delete()
    assert audio_tracks.sql("select * from cdn_sync_jobs") == []


@pytest.mark.parametrize(
    ("claim", "targets"),
    [
        (f"""storage_locations = '{{"{SECOND}": true, "supabase": true}}'""", [SECOND]),
        (f"""storage_locations = '{{"{FIRST}": false, "other": true}}'""", []),
        ("cdn_url = 'https://cdn.example.com/a.mp3'", [SECOND, FIRST]),
        ("storage_locations = '[true]'", []),
        ("storage_locations = '\"r2_cdn\"', cdn_url = ''", []),
    ],
)
def test_row_from_before_is_deleted_where_it_claims_a_copy(
    untargeted: AudioTracks, claim: str, targets: list[str]
) -> None:
    untargeted.insert_older(claim)
    untargeted.configure(FIRST, SECOND)
    untargeted.delete()
    assert untargeted.wanted() == dict.fromkeys(targets, "delete")


def test_target_that_was_taken_out_is_remembered(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.configure(FIRST)
    audio_tracks.insert("b")
    assert audio_tracks.wanted("b") == {FIRST: "upload"}
    audio_tracks.delete()
    assert audio_tracks.wanted() == DELETES


def test_truncate_is_allowed_and_deletes_nothing(audio_tracks: AudioTracks) -> None:
    audio_tracks.insert()
    audio_tracks.upload()
    audio_tracks.sql("truncate audio_tracks")
    assert audio_tracks.wanted() == {}
