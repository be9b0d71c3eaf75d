"""Both sides changed: who wins, and what is kept of the other."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.sync.site import Site

NOW = "clock_timestamp()"
BEFORE, AFTER = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


def mirror(site: Site, policy: str = "newest", **changes: Any) -> Any:
    """What was seen of the asset `a` is written into its row."""
    asset = {
        "asset_id": "id", "public_id": "a", "resource_type": "image", "type": "upload",
        "version": 1, "tags": ["old"], "context": {}, **changes,
    }  # fmt: skip
    return site.one(
        "select media_worker.mirror_assets(%s, clock_timestamp(), %s, 'cloudinary')",
        __import__("psycopg").types.json.Jsonb([asset]), policy,
    )[0]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "clock", "kept"),
    [
        ("newest", {"updated_at": AFTER}, "cloudinary"),
        ("newest", {"tags": AFTER, "updated_at": BEFORE}, "cloudinary"),
        ("newest", {"updated_at": BEFORE}, "database"),
        ("newest", {}, "database"),
        ("cloudinary", {"updated_at": BEFORE}, "cloudinary"),
        ("database", {"updated_at": AFTER}, "database"),
    ],
)
def test_the_policy_decides(site: Site, policy: str, clock: dict[str, str], kept: str) -> None:
    mirror(site)
    site.sql("update media_assets set tags = '{mine}'")
    plan = mirror(site, policy, tags=["theirs"], clock=clock)
    row = site.row("a")
    assert plan["kept"] == kept
    won, lost = ("theirs", "mine") if kept == "cloudinary" else ("mine", "theirs")
    assert row["tags"] == [won]
    assert row["sync_status"] == ("synced" if kept == "cloudinary" else "pending")
    line = site.log("a")[-1]
    assert (line["status"], line["details"]["lost"]) == ("conflict", {"tags": [lost]})
    assert line["details"]["kept"] == kept


def test_changes_of_different_values_are_no_conflict(site: Site) -> None:
    mirror(site)
    site.sql("update media_assets set tags = '{mine}'")
    mirror(site, display_name="Theirs")
    row = site.row("a")
    assert (row["tags"], row["display_name"]) == (["mine"], "Theirs")
    assert row["sync_status"] == "pending"
    assert {line["status"] for line in site.log()} == {"success"}


def test_the_same_change_on_both_sides_is_no_conflict(site: Site) -> None:
    mirror(site)
    site.sql("update media_assets set tags = '{b,a}'")
    mirror(site, tags=["a", "b"])
    assert site.row("a")["sync_status"] == "synced"
    assert {line["status"] for line in site.log()} == {"success"}


def test_what_was_looked_at_earlier_is_not_written_over_what_came_later(site: Site) -> None:
    mirror(site)
    mirror(site, tags=["new"])
    long_ago = datetime.fromisoformat(BEFORE)
    site.sql(
        "select media_worker.mirror_assets(%s::jsonb, %s, 'newest', 'cloudinary')",
        '[{"asset_id": "id", "public_id": "a", "resource_type": "image", "type": "upload"}]',
        long_ago,
    )
    assert site.row("a")["tags"] == ["new"]


@pytest.mark.parametrize("policy", ["newest", "cloudinary", "database"])
def test_both_sides_agree_after_a_conflict(site: Site, policy: str) -> None:
    site.cloudinary.account.add("a", tags=["old"])
    site.sync()
    site.sql("update media_assets set tags = '{mine}', context = '{\"k\": \"mine\"}'")
    site.cloudinary.account.change("a", tags=["theirs"])
    site.work(SYNC_CONFLICT_POLICY=policy)
    site.assert_mirrored()
    row = site.row("a")
    assert row["context"] == {"k": "mine"}
    if policy != "newest":
        assert row["tags"] == [{"cloudinary": "theirs", "database": "mine"}[policy]]
    conflict = [line for line in site.log() if line["status"] == "conflict"]
    assert len(conflict) == 1
