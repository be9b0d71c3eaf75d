"""An INSERT succeeds whatever a track is like, and no strange row spoils the views for others."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.archive.conftest import Tracks

TIMES = [
    "infinity", "-infinity", "9999-12-31", "294276-12-31", "4713-01-01 BC", "0001-01-01", None,
]  # fmt: skip
VALUES: list[dict[str, Any]] = [
    {"audio_url": "x" * 100_000},
    {"audio_url": "no url"},
    {"audio_url": "https://provider.example.com/\u2603\U0001f3b5 %s {} \\ '\""},
    {"title": "", "provider": "", "user_id": None},
    {"title": "%s %I \u0001", "provider": "x" * 10_000},
    {"provider": None, "title": None},
    {"cover_url": "", "video_url": ""},
    {"cover_url": "y" * 100_000, "video_url": "javascript:alert(1)"},
    {"status": ""},
    {"status": "COMPLETED"},
]


def insert(tracks: Tracks, **values: Any) -> None:
    row = {"id": uuid.uuid4(), "status": "completed", "audio_url": "https://x.org/a.mp3", **values}
    marks = ", ".join(["%s"] * len(row))
    tracks.sql(f"insert into tracks ({', '.join(row)}) values ({marks})", *row.values())


def look_at_everything(tracks: Tracks) -> None:
    tracks.sql("select * from archive_statistics")
    tracks.sql("select track_id, expires_at, days_until_expiry from get_tracks_needing_archiving()")
    tracks.sql("select archive_tracks()")
    tracks.sql("select get_track_processing_status(id) from tracks")
    tracks.sql("select * from track_playback")
    tracks.sql("select media_worker.archive_promote()")
    tracks.sql("update archive_policies set expires_after = expires_after + interval '1 day'")
    tracks.sql("update archive_policies set archive_after = archive_after + interval '1 day'")


@pytest.mark.parametrize("moment", TIMES)
def test_any_creation_time_is_taken(tracks: Tracks, moment: str | None) -> None:
    tracks.sql("alter table tracks alter created_at drop not null")
    insert(tracks, created_at=moment)
    tracks.sql("update tracks set title = 'x', status = 'draft'")
    tracks.sql("update tracks set status = 'completed'")
    look_at_everything(tracks)
    tracks.sql("delete from tracks")
    assert tracks.notices == []


@pytest.mark.parametrize("moment", ["-infinity", "4713-01-01 BC", "0001-01-01"])
def test_ancient_tracks_are_found_when_their_job_was_missed(tracks: Tracks, moment: str) -> None:
    tracks.sql("set session_replication_role = replica")
    insert(tracks, created_at=moment, archive_scheduled_at=moment)
    tracks.sql("set session_replication_role = origin")
    assert tracks.one("select media_worker.archive_promote()") == 1


@pytest.mark.parametrize("values", VALUES)
def test_any_text_is_taken(tracks: Tracks, values: dict[str, Any]) -> None:
    insert(tracks, created_at="2020-01-01", **values)
    tracks.sql("update tracks set audio_url = audio_url || '?', archived_to_storage = true")
    tracks.sql("update tracks set archived_to_storage = false, audio_url = audio_url || '!'")
    look_at_everything(tracks)
    tracks.sql("delete from tracks")
    assert tracks.notices == []


def test_null_in_the_archived_flag_counts_as_not_archived(tracks: Tracks) -> None:
    tracks.sql("alter table tracks alter archived_to_storage drop not null")
    insert(tracks, created_at="2020-01-01", archived_to_storage=None)
    assert tracks.one("select count(*) from track_archiving_jobs") == 1
    assert tracks.one("select expired_tracks from archive_statistics") == 1


@pytest.mark.parametrize("refusal", ["constraint", "trigger"])
def test_row_that_the_application_refuses_to_schedule_stops_no_other(
    tracks: Tracks, refusal: str
) -> None:
    tracks.sql("set session_replication_role = replica")
    refused, other = sorted([uuid.uuid4(), uuid.uuid4()])
    insert(tracks, id=refused, title="refused")
    insert(tracks, id=other)
    tracks.sql("set session_replication_role = origin")
    if refusal == "constraint":
        tracks.sql("alter table tracks add constraint c check (title <> 'refused') not valid")
    else:
        tracks.sql(
            "create function undo() returns trigger language plpgsql as"
            " $$ begin new.archive_scheduled_at := null; return new; end $$"
        )
        tracks.sql(
            "create trigger zzz before update on tracks for each row"
            " when (new.title = 'refused') execute function undo()"
        )
    assert tracks.one("select media_worker.archive_schedule_missing()") == 2
    assert tracks.track(other)["archive_scheduled_at"]
    assert tracks.one("select media_worker.archive_schedule_missing()") == 0
    tracks.sql("update media_worker.overlooked_tracks set noted_at = now() - interval '2 days'")
    assert tracks.one("select media_worker.archive_schedule_missing()") == 1
