"""archive_policies: who decides when a track is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.archive.conftest import Tracks

CREATED = datetime(2030, 1, 1, tzinfo=UTC)
OWN = datetime(2040, 1, 1, tzinfo=UTC)


def days(tracks: Tracks) -> dict[str, float]:
    rows = tracks.sql("select title, archive_scheduled_at - created_at as wait from tracks")
    return {row["title"]: row["wait"] / timedelta(days=1) for row in rows}


@pytest.fixture
def scheduled(tracks: Tracks) -> Tracks:
    tracks.insert_track(title="suno", provider="Suno", created_at=CREATED)
    tracks.insert_track(title="none", provider=None, created_at=CREATED)
    tracks.insert_track(title="replicate", provider="replicate", created_at=CREATED)
    tracks.insert_track(title="own", created_at=CREATED, archive_scheduled_at=OWN)
    return tracks


def test_changed_policy_reschedules_what_it_had_scheduled(scheduled: Tracks) -> None:
    before = days(scheduled)
    scheduled.sql("update archive_policies set archive_after = '5 days' where provider = 'default'")
    assert days(scheduled) == {**before, "suno": 5, "none": 5}
    scheduled.sql("insert into archive_policies values ('SUNO', '2 days', '4 days')")
    assert days(scheduled) == {**before, "suno": 2, "none": 5}
    scheduled.sql("update archive_policies set archive_after = '6 days' where provider = 'default'")
    assert days(scheduled) == {**before, "suno": 2, "none": 6}
    scheduled.sql("delete from archive_policies where provider = 'suno'")
    assert days(scheduled) == {**before, "suno": 6, "none": 6}


def test_policy_that_makes_tracks_due_queues_them(tracks: Tracks) -> None:
    track = tracks.insert_track(age="3 days")
    tracks.sql("update archive_policies set archive_after = '2 days' where provider = 'default'")
    assert tracks.job(track)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from archive_policies",
        "delete from archive_policies where provider = 'default'",
        "update archive_policies set provider = 'other' where provider = 'default'",
        "truncate archive_policies",
    ],
)
def test_default_policy_stays(tracks: Tracks, statement: str) -> None:
    refusal = tracks.refused(statement)
    assert refusal.sqlstate == "23001"
    assert "default" in str(refusal.message_primary)
    assert refusal.message_hint == "Update its intervals instead."


def test_other_policies_can_be_deleted_but_not_renamed(tracks: Tracks) -> None:
    refusal = tracks.refused(
        "update archive_policies set provider = 'x' where provider = 'replicate'"
    )
    assert refusal.sqlstate == "23001"
    tracks.sql("delete from archive_policies where provider = 'replicate'")


@pytest.mark.parametrize(
    ("archive_after", "expires_after"),
    [
        ("-1 second", "1 day"),
        ("2 days", "1 day"),
        ("1 day", "1 day"),
        ("1 day", "1000 years"),
        (None, "1 day"),
        ("1 day", None),
    ],
)
def test_intervals_that_make_no_sense_are_refused(
    tracks: Tracks, archive_after: str | None, expires_after: str | None
) -> None:
    refusal = tracks.refused(
        "insert into archive_policies values ('x', %s, %s)", archive_after, expires_after
    )
    assert refusal.sqlstate in ("23514", "23502")
    assert tracks.notices == []
