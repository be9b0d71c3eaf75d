"""The owner of a track that could not be archived is told so, once."""

from __future__ import annotations

import pytest

from tests.archive.conftest import Tracks
from tests.archive.runs import Run


def notifications(tracks: Tracks) -> list[dict[str, object]]:
    return tracks.sql("select * from notifications")


def test_final_failure_tells_the_owner(tracks: Tracks) -> None:
    track = tracks.insert_track(title='My "song" 100%s')
    Run.of(tracks, track).fail()
    (told,) = notifications(tracks)
    assert told["user_id"] == tracks.track(track)["user_id"]
    assert told["type"] == "warning" and told["read_at"] is None
    assert told["link"] == f"/workspace/library?track={track}"
    assert 'My "song" 100%s' in str(told["message"])
    assert (tracks.job(track) or {})["error_message"] == "404"


def test_russian_text(tracks: Tracks) -> None:
    Run.of(tracks, tracks.insert_track(title="Лето")).fail(language="ru")
    (told,) = notifications(tracks)
    assert told["title"] == "Не удалось архивировать трек"  # noqa: RUF001
    assert told["message"] == 'Трек "Лето" не был сохранен. Он может стать недоступен.'


def test_second_failure_of_a_track_tells_nobody(tracks: Tracks) -> None:
    track = tracks.insert_track()
    for _ in range(2):
        Run.of(tracks, track).fail()
        tracks.sql("update track_archiving_jobs set status = 'pending' where status = 'failed'")
    assert len(notifications(tracks)) == 1


@pytest.mark.parametrize("values", [{"age": "16 days"}, {"user_id": None}])
def test_nobody_is_told_of_what_was_lost_before_or_is_nobodys(
    tracks: Tracks, values: dict[str, str]
) -> None:
    track = tracks.insert_track(**values)
    Run.of(tracks, track).fail()
    assert (tracks.job(track) or {})["status"] == "failed"
    assert notifications(tracks) == []


def test_failed_second_archiving_of_an_archived_track_tells_nobody(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.store(track)
    tracks.one("select archive_track(%s, true)", track)
    Run.of(tracks, track).fail()
    assert notifications(tracks) == []


@pytest.mark.parametrize(
    "change",
    [
        "alter table notifications add check (type <> 'warning')",
        "alter table notifications add column must text not null",
        "alter table notifications drop column link",
        "drop table notifications",
        "update media_worker.application_tables set usable = false where name = 'notifications'",
    ],
)
def test_table_that_takes_no_row_harms_nothing(tracks: Tracks, change: str) -> None:
    track = tracks.insert_track()
    tracks.sql(change)
    Run.of(tracks, track).fail("gone")
    job = tracks.job(track)
    assert job and job["status"] == "failed" and job["error_message"] == "gone"


def test_job_that_was_asked_for_again_is_not_given_up(tracks: Tracks) -> None:
    track = tracks.insert_track()
    run = Run.of(tracks, track)
    tracks.one("select archive_track(%s)", track)
    run.fail()
    job = tracks.job(track)
    assert job and job["status"] == "pending" and job["runnable"] is True
    assert job["attempts"] == 0 and job["error_message"] is None
    assert notifications(tracks) == []


def test_tries_after_the_expiry_count_only_where_they_were_counted(tracks: Tracks) -> None:
    track = tracks.insert_track(age="16 days")
    tries = []
    for counted in (False, True, False, True, True):
        run = Run.of(tracks, track)
        tries.append(run.load()["late_attempts"])
        run.again(counted=counted)
    assert tries == [1, 1, 2, 2, 3]


def test_tries_after_the_expiry_begin_anew_when_asked_for_again(tracks: Tracks) -> None:
    track = tracks.insert_track(age="16 days")
    for _ in range(2):
        run = Run.of(tracks, track)
        run.load()
        run.again(counted=True)
    tracks.sql("update track_archiving_jobs set status = 'failed'")
    tracks.sql("update track_archiving_jobs set status = 'pending'")
    assert Run.of(tracks, track).load()["late_attempts"] == 1
