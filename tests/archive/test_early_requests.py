"""INSERT INTO track_archiving_jobs: a user does not want to wait for the day."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from psycopg.errors import UniqueViolation

from tests.archive.conftest import Tracks

REQUEST = "insert into track_archiving_jobs (track_id, user_id) values (%s, %s)"


@pytest.fixture
def users(tracks: Tracks) -> Tracks:
    """A database with Supabase's role for logged-in users."""
    tracks.sql(
        "do $$ begin create role authenticated nologin; exception"
        " when duplicate_object or unique_violation then null; end $$"
    )
    tracks.sql("grant insert (track_id, user_id), select on track_archiving_jobs to authenticated")
    tracks.sql("grant usage on schema public to authenticated")
    tracks.sql("grant execute on function media_worker.current_user_id() to authenticated")
    tracks.sql(
        "select media_worker.allow('track_archiving_jobs', 'own_insert', array['authenticated'],"
        " 'insert', 'with check (user_id = media_worker.current_user_id())')"
    )
    return tracks


@contextmanager
def logged_in(tracks: Tracks, user: UUID) -> Iterator[None]:
    tracks.sql("select set_config('request.jwt.claims', %s, false)", json.dumps({"sub": str(user)}))
    tracks.sql("set role authenticated")
    try:
        yield
    finally:
        tracks.sql("reset role")


def test_own_track_is_archived_early(users: Tracks) -> None:
    user = uuid4()
    track = users.insert_track(age="1 day", user_id=user, cover_url="https://x.org/c.jpg")
    with logged_in(users, user):
        users.sql(REQUEST, track, user)
    job = users.job(track)
    assert job and job["status"] == "pending" and job["user_id"] == user
    assert job["original_cover_url"] == "https://x.org/c.jpg"
    assert users.jobs() == 1


def test_track_of_somebody_else_is_refused(users: Tracks) -> None:
    user, other = uuid4(), uuid4()
    track = users.insert_track(age="1 day", user_id=other)
    with logged_in(users, user):
        for named in (user, other, None):
            refusal = users.refused(REQUEST, track, named)
            assert refusal.sqlstate == "42501" and refusal.message_hint
        assert users.refused(REQUEST, uuid4(), user).sqlstate == "42501"
    assert users.job(track) is None


def test_other_columns_are_not_the_users_to_fill(users: Tracks) -> None:
    user = uuid4()
    track = users.insert_track(age="1 day", user_id=user)
    with logged_in(users, user):
        refusal = users.refused(
            "insert into track_archiving_jobs (track_id, user_id, status)"
            " values (%s, %s, 'failed')",
            track,
            user,
        )
    assert refusal.sqlstate == "42501"


def test_open_request_is_left_alone(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.sql("update track_archiving_jobs set next_attempt_at = now() + interval '1 hour'")
    before = tracks.job(track)
    tracks.sql(REQUEST, track, tracks.track(track)["user_id"])
    assert tracks.job(track) == before
    assert tracks.jobs() == 1


def test_failed_one_is_tried_again(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.sql("update track_archiving_jobs set status = 'failed', attempts = 7")
    tracks.sql(REQUEST, track, tracks.track(track)["user_id"])
    job = tracks.job(track)
    assert job and job["status"] == "pending" and job["attempts"] == 0


def test_archived_track_is_an_error_that_says_so(tracks: Tracks) -> None:
    track = tracks.insert_track()
    tracks.store(track)
    refusal = tracks.refused(REQUEST, track, tracks.track(track)["user_id"])
    assert refusal.sqlstate == "22023" and refusal.message_hint
    assert "archived already" in str(refusal.message_primary)


def test_unknown_and_unplayable_tracks_are_errors(tracks: Tracks) -> None:
    draft = tracks.insert_track(status="draft")
    for track, sqlstate in ((uuid4(), "P0002"), (None, "P0002"), (draft, "22023")):
        refusal = tracks.refused(REQUEST, track, uuid4())
        assert refusal.sqlstate == sqlstate and refusal.message_hint


def test_asking_twice_at_once_makes_one_row(tracks: Tracks) -> None:
    track = tracks.insert_track(age="1 day")
    rows = [(track, uuid4())] * 3
    try:
        tracks.connection.cursor().executemany(REQUEST, rows)
    except UniqueViolation:  # pragma: no cover
        pytest.fail("asking again is never an error")
    assert tracks.one("select count(*) from track_archiving_jobs") == 1
