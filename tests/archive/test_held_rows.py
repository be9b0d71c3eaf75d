"""What others hold: the application neither waits for it nor fails, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from uuid import UUID

import psycopg
import pytest

from tests.archive.conftest import Tracks
from tests.support.wait import wait_until

NEW = "https://provider.example.com/new.mp3"


@contextmanager
def held(tracks: Tracks, query: str, *params: object) -> Iterator[psycopg.Connection]:
    """A transaction that has run the query and stays open for as long as the block runs."""
    with psycopg.connect(tracks.url) as connection:
        connection.execute(query.encode(), params)
        yield connection


@pytest.fixture
def pair(tracks: Tracks) -> tuple[UUID, UUID]:
    """Two tracks that fell due without anybody noticing, in the order of the table."""
    first, second = tracks.insert_track(age="1 day"), tracks.insert_track(age="1 day")
    tracks.sql("set session_replication_role = replica")
    tracks.sql("update tracks set archive_scheduled_at = now() - interval '1 minute'")
    tracks.sql("set session_replication_role = origin")
    return first, second


@pytest.mark.parametrize("call", ["media_worker.archive_promote()", "archive_tracks()"])
def test_track_in_an_open_transaction_keeps_no_other_from_its_archiving(
    tracks: Tracks, pair: tuple[UUID, UUID], call: str
) -> None:
    with held(tracks, "update tracks set audio_url = %s where id = %s", NEW, pair[0]):
        assert tracks.one(f"select {call}") == 1
        assert tracks.job(pair[1])
    assert tracks.one(f"select {call}") == 0
    assert (tracks.job(pair[0]) or {})["original_audio_url"] == NEW


def test_failed_job_in_an_open_transaction_keeps_no_other_from_its_archiving(
    tracks: Tracks, pair: tuple[UUID, UUID]
) -> None:
    tracks.sql("select archive_tracks()")
    tracks.sql("update track_archiving_jobs set status = 'failed'")
    hold = "select from track_archiving_jobs where track_id = %s for update"
    with held(tracks, hold, pair[0]):
        assert tracks.one("select archive_tracks()") == 1
    assert tracks.one("select archive_tracks()") == 1


def test_change_of_a_track_whose_job_is_held_is_made_up_for(
    tracks: Tracks, pair: tuple[UUID, UUID]
) -> None:
    tracks.sql("select archive_tracks()")
    tracks.sql("update track_archiving_jobs set status = 'failed'")
    with held(tracks, "select retry_failed('archive')"):
        tracks.update(pair[0], "audio_url = %s", NEW)
        assert tracks.one("select media_worker.archive_overlooked()") == 0
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert tracks.one("select media_worker.archive_overlooked()") == 0
    assert (tracks.job(pair[0]) or {})["original_audio_url"] == NEW
    assert tracks.notices == []


def test_cover_that_came_while_the_job_was_held_is_made_up_for(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.store(track)
    with held(tracks, "select from track_archiving_jobs for update"):
        tracks.update(track, "cover_url = 'https://provider.example.com/c.jpg'")
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert (tracks.job(track) or {})["status"] == "pending"


def test_deletion_of_a_track_whose_job_is_held_is_made_up_for(tracks: Tracks) -> None:
    track, other = tracks.insert_track(), tracks.insert_track()
    tracks.store(track)
    with held(tracks, "select from track_archiving_jobs where track_id = %s for update", track):
        tracks.sql("delete from tracks")
        assert tracks.one("select count(*) from storage_cleanup_queue") == 0
        assert tracks.one("select media_worker.archive_overlooked()") == 1
        assert (tracks.job(other) or {})["track_deleted"] is True
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert (tracks.job(track) or {})["track_deleted"] is True
    assert tracks.one("select source_id from storage_cleanup_queue") == str(track)


def test_track_that_is_there_again_keeps_its_files(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.store(track)
    with held(tracks, "select from track_archiving_jobs for update"):
        tracks.sql("delete from tracks")
    tracks.insert_track(id=track)
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert tracks.one("select count(*) from storage_cleanup_queue") == 0
    assert (tracks.job(track) or {})["status"] == "pending"


def test_broken_archive_is_a_warning_and_made_up_for(tracks: Tracks) -> None:
    tracks.sql("alter table track_archiving_jobs rename column due_by to gone")
    track = tracks.insert_track()
    assert ["the change of 1 tracks is left to the worker" in each for each in tracks.notices] == [
        True
    ]
    tracks.sql("alter table track_archiving_jobs rename column gone to due_by")
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert tracks.job(track)


def test_changed_policy_waits_for_nobody_and_reschedules_all(
    tracks: Tracks, pair: tuple[UUID, UUID]
) -> None:
    tracks.sql("update tracks set archive_scheduled_at = null")
    change = "update archive_policies set archive_after = '5 days' where provider = 'default'"
    with held(tracks, "update tracks set title = 'mine' where id = %s", pair[1]) as application:
        changing = Thread(target=tracks.sql, args=(change,))
        changing.start()
        wait_until(lambda: not changing.is_alive(), message="the changed policy")
        application.execute("update tracks set title = 'mine' where id = %s", [pair[0]])
        assert tracks.one("select media_worker.archive_overlooked()") == 0
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert tracks.one(
        "select bool_and(archive_scheduled_at = created_at + interval '5 days') from tracks"
    )


def test_time_of_the_applications_own_survives_a_changed_policy_that_came_late(
    tracks: Tracks, pair: tuple[UUID, UUID]
) -> None:
    tracks.sql("update tracks set archive_scheduled_at = null")
    own = "update tracks set archive_scheduled_at = '2040-01-01Z' where id = %s"
    with held(tracks, own, pair[0]) as application:
        tracks.sql("update archive_policies set archive_after = '5 days'"
                   " where provider = 'default'")  # fmt: skip
        application.commit()
    assert tracks.one("select media_worker.archive_overlooked()") == 1
    assert tracks.track(pair[0])["archive_scheduled_at"].year == 2040
