"""Thousands of older tracks on their way to the CDN do not hold up the one that is written now."""

from __future__ import annotations

import pytest

from tests.cdn.site import MELODY, Site
from tests.support.wait import wait_until

OLDER = 10_000
NEW = 5
# On a busy machine; the backfill takes minutes.
A_FEW_SECONDS = 8.0


@pytest.mark.parametrize("delay", [0.0, 0.4], ids=["quick", "slow target"])
def test_new_tracks_are_not_held_up_by_a_backfill(site: Site, delay: float) -> None:
    site.second.front.delay = delay
    _insert_older(site)
    assert site.one("select backfill_cdn(%s)", OLDER) == OLDER
    site.start()
    wait_until(lambda: _done(site) > 20, timeout=30, message="the backfill to be under way")
    for number in range(NEW):
        track = site.insert(f"new-{number}")
        wait_until(
            lambda track=track: _is_copied(site, track), timeout=A_FEW_SECONDS, message=track
        )  # type: ignore[misc]
    assert 20 < _done(site) < OLDER


def _insert_older(site: Site) -> None:
    """Tracks that were there before Media Worker was."""
    site.source.put("older.mp3", MELODY)
    site.sql("set session_replication_role = replica")
    site.sql(
        "insert into audio_tracks (track_id, file_path, created_at)"
        " select 'older-' || g, 'older.mp3', now() - interval '1 year'"
        " from generate_series(1, %s) as g",
        OLDER,
    )
    site.sql("set session_replication_role = origin")


def _done(site: Site) -> int:
    query = "select count(*) from cdn_sync_jobs where status = 'completed' and track_id ~ 'older'"
    return int(site.one(query))


def _is_copied(site: Site, track: str) -> bool:
    query = "select count(*) = 2 from cdn_sync_jobs where track_id = %s and status = 'completed'"
    return bool(site.one(query, track))
