"""Database to Cloudinary: public ids and display names."""

from __future__ import annotations

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site

SYNCED = "select bool_and(sync_status = 'synced') from media_assets where deleted_at is null"


def test_a_changed_name_renames(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a")
    site.sync()
    site.start()
    site.sql("update media_assets set public_id = 'b/c', tags = '{t}'")
    site.wait_for(SYNCED)
    site.assert_mirrored()
    assert "b/c" in site.row("b/c")["secure_url"]
    assert [line["operation"] for line in site.log("b/c")] == ["rename", "update"]
    assert len(account) == 1


def test_a_name_that_is_taken_is_said(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a")
    site.sync()
    account.add("b")
    site.sql("update media_assets set public_id = 'b'")
    site.work()
    row = site.row("b")
    assert row["sync_status"] == "error"
    assert "public_id" in row["sync_error"]
    assert len(account) == 2


def test_a_row_whose_asset_went_is_not_taken_for_the_owner_of_its_new_name(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.cloudinary.account.delete("a")
    site.cloudinary.account.add("b")
    site.sql("update media_assets set public_id = 'b'")
    site.work()
    assert site.row("b")["sync_status"] == "error"
    site.sync(force=True)
    assert site.rows() == {}
    site.sync()
    site.assert_mirrored()
    assert set(site.rows()) == {"b"}


def test_a_rename_waits_for_the_deletion_of_what_has_the_name(site: Site) -> None:
    asset = site.cloudinary.account.add("a")
    site.cloudinary.account.add("b")
    site.sync()
    site.one("select pause_queue('cleanup')")
    site.sql("delete from media_assets where public_id = 'b'")
    site.sql("update media_assets set public_id = 'b'")
    site.start().wait_for_log("is about to go")
    site.one("select resume_queue('cleanup')")
    site.wait_for("select sync_status = 'synced' from media_assets")
    site.assert_mirrored()
    assert site.row("b")["asset_id"] == asset.asset_id


def test_what_cannot_be_pushed_stays_an_error_whoever_looks_at_it(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.cloudinary.account.add("b")
    site.sql("update media_assets set public_id = 'b'")
    site.work()
    assert "another public_id" in site.row("b")["sync_error"]
    site.cloudinary.account.change("a", tags=["x"])
    site.sync()
    row = site.row("b")
    assert (row["sync_status"], row["tags"]) == ("error", ["x"])
    assert "another public_id" in row["sync_error"]


def test_what_could_not_be_pushed_since_its_asset_was_renamed_is_pushed_later(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.cloudinary.account.rename("a", "b")
    site.sql("update media_assets set tags = '{x}'")
    site.work()
    assert "no longer has image a" in site.row("a")["sync_error"]
    site.sync()
    site.work()
    site.assert_mirrored()
    assert site.row("b")["tags"] == ["x"]


def test_a_name_that_another_asset_was_given_meanwhile_is_left_to_it(site: Site) -> None:
    site.cloudinary.account.add("x")
    site.cloudinary.account.add("y")
    site.sync()
    ids = {name: site.row(name)["id"] for name in ("x", "y")}
    site.cloudinary.account.rename("x", "b")
    site.sql("update media_assets set public_id = 'b' where public_id = 'y'")
    site.work()
    site.assert_mirrored()
    assert {name: site.row(name)["id"] for name in ("b", "y")} == {"b": ids["x"], "y": ids["y"]}


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_cleared_name_becomes_that_which_cloudinary_gives(
    site: Site, nothing: str | None
) -> None:
    account = site.cloudinary.account
    account.add("a/cat", display_name="Old")
    account.add("a/dog", display_name="Kept")
    site.sync()
    site.start()
    site.sql("update media_assets set display_name = %s where public_id = 'a/cat'", nothing)
    site.wait_for(SYNCED)
    assert account.get("a/cat").display_name == "cat"  # type: ignore[union-attr]
    assert site.row("a/cat")["display_name"] == "cat"
    assert account.get("a/dog").display_name == "Kept"  # type: ignore[union-attr]


def test_a_cleared_name_does_not_bounce(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a/cat", display_name="Old")
    site.sync()
    site.sql("update media_assets set display_name = null")
    site.work()
    lines, updates = len(site.log()), site.cloudinary.calls["update"]
    assert updates == 1
    site.receive(*site.cloudinary.notifications.all)
    assert site.sync()["unchanged"] == 1
    assert (len(site.log()), site.cloudinary.calls["update"]) == (lines, updates)


def test_a_name_given_while_another_is_cleared_wins(site: Site) -> None:
    site.cloudinary.account.add("cat", display_name="Old")
    site.sync()
    hold = site.cloudinary.faults.hold("update", after_effect=True)
    site.sql("update media_assets set display_name = null")
    site.start()
    wait_until(hold.reached.is_set, timeout=20, message="the update")
    site.sql("update media_assets set display_name = 'New'")
    hold.release()
    site.wait_for(SYNCED)
    assert site.row("cat")["display_name"] == "New"
    assert site.cloudinary.account.get("cat").display_name == "New"  # type: ignore[union-attr]


def test_a_row_that_never_had_a_name_takes_its_assets(site: Site) -> None:
    site.cloudinary.account.add("cat", display_name="Theirs")
    site.sql("insert into media_assets (public_id) values ('cat')")
    site.work()
    assert site.row("cat")["display_name"] == "Theirs"
    assert site.cloudinary.calls["update"] == 0
