"""Database to Cloudinary: changes and deletions."""

from __future__ import annotations

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import media
from worker.demo.provider import Provider

PNG = media("cover.png")
SYNCED = "select bool_and(sync_status = 'synced') from media_assets where deleted_at is null"


def test_a_row_of_an_asset_that_is_there_is_completed(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["x"], context={"k": "v"})
    site.sql("insert into media_assets (public_id) values ('a'), ('missing')")
    site.work()
    row = site.row("a")
    assert (row["tags"], row["context"], row["sync_status"]) == (["x"], {"k": "v"}, "synced")
    missing = site.row("missing")
    assert missing["sync_status"] == "error"
    assert "source_url" in missing["sync_error"]


def test_a_name_that_is_refused_harms_no_other_row(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sql("insert into media_assets (public_id) values ('a'), (repeat('y', 70000))")
    site.work()
    assert site.row("a")["sync_status"] == "synced"
    assert site.cloudinary.calls.admin == 2


def test_empty_tags_and_values_are_none_at_cloudinary(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.sql(
        "update media_assets set tags = array['x', null, ''],"
        """ context = '{"k": null, "n": 5}' where public_id = 'a'"""
    )
    site.work()
    asset = site.cloudinary.account.get("a")
    assert asset is not None
    assert (asset.tags, dict(asset.context)) == (("x",), {"n": "5"})
    assert site.row("a")["sync_status"] == "synced"


def test_a_kind_that_there_is_not_leads_to_no_other_account(site: Site, provider: Provider) -> None:
    url = provider.serve("/cat.png", Behaviour(body=PNG))
    site.sql(
        "insert into media_assets (public_id, source_url, resource_type, type)"
        " values ('a', %s, '../other', 'upload'), ('b', %s, 'image', '../x')",
        url, url,
    )  # fmt: skip
    site.work()
    for name in ("a", "b"):
        assert "set resource_type" in site.row(name)["sync_error"]
    assert len(site.cloudinary.calls) == 0


def test_a_kind_that_is_not_the_asset_s_is_put_right(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["t"])
    site.sync()
    site.sql("update media_assets set resource_type = 'video', type = 'private', tags = '{u}'")
    site.work()
    row = site.row("a")
    assert (row["resource_type"], row["type"], row["tags"]) == ("image", "upload", ["u"])
    site.assert_mirrored()


def test_changed_values_reach_cloudinary(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a", tags=["old"], context={"k": "v"})
    site.sync()
    lines = len(site.log())
    site.start()
    site.sql(
        "update media_assets set tags = '{new,newer}', display_name = 'Name',"
        """ context = '{"k": "w"}'"""
    )
    site.wait_for(SYNCED)
    asset = account.get("a")
    assert asset is not None
    assert (asset.tags, dict(asset.context)) == (("new", "newer"), {"k": "w"})
    assert asset.display_name == "Name"
    (line,) = site.log()[lines:]
    assert (line["operation"], line["status"], line["source"]) == ("update", "success", "database")
    site.sql("update media_assets set tags = '{}', context = '{}'")
    site.wait_for(SYNCED)
    site.assert_mirrored()
    assert account.get("a").tags == ()  # type: ignore[union-attr]


def test_an_update_of_nothing_does_no_work(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["x", "y"])
    site.sync()
    calls = len(site.cloudinary.calls)
    site.sql("update media_assets set tags = '{y,x}', user_id = gen_random_uuid()")
    assert site.row("a")["sync_status"] == "synced"
    site.work()
    assert len(site.cloudinary.calls) == calls


def test_a_push_that_was_carried_out_but_not_answered_is_found_done(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.cloudinary.faults.cut("rename", after_effect=True)
    site.sql("update media_assets set public_id = 'b'")
    site.start()
    site.wait_for(SYNCED)
    site.assert_mirrored()


def test_deleted_rows_take_their_assets_along(site: Site) -> None:
    for name in ("hard", "soft", "kept"):
        site.cloudinary.account.add(name)
    site.sync()
    site.start()
    site.sql("delete from media_assets where public_id = 'hard'")
    site.sql("update media_assets set deleted_at = now() where public_id = 'soft'")
    wait_until(lambda: len(site.cloudinary.account) == 1, timeout=20)
    site.wait_for("select bool_and(status = 'completed') from cloudinary_cleanup_queue")
    site.assert_mirrored()
    site.sync()
    assert set(site.rows()) == {"kept"}


def test_pending_rows_that_nobody_asked_for_are_found(site: Site) -> None:
    site.cloudinary.account.add("a")
    with site.connection.transaction():
        site.sql("set local session_replication_role = replica")
        site.sql("insert into media_assets (public_id) values ('a')")
    site.work()
    assert site.row("a")["sync_status"] == "synced"


def test_an_undone_deletion_brings_the_row_back(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("update media_assets set deleted_at = now()")
    site.sql("update media_assets set deleted_at = null")
    site.work()
    site.assert_mirrored()
    assert set(site.rows()) == {"a"}


def test_an_asset_that_goes_right_before_it_is_changed_is_looked_for_again(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    hold = site.cloudinary.faults.hold("update")
    site.start()
    site.sql("update media_assets set tags = '{x}'")
    wait_until(hold.reached.is_set, message="the call", timeout=20)
    site.cloudinary.account.delete("a")
    hold.release()
    site.wait_for("select sync_error like '%no longer has image a%' from media_assets")


def test_rows_that_are_edited_outlive_an_emptied_account(site: Site, provider: Provider) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.cloudinary.account.delete("a")
    site.sql("update media_assets set tags = '{x}'")
    site.work()
    row = site.row("a")
    assert (row["sync_status"], row["tags"]) == ("error", ["x"])
    assert "no longer has image a" in row["sync_error"]
    assert site.log("a")[-1]["status"] == "error"
    url = provider.serve("/cat.png", Behaviour(body=PNG))
    site.sql("update media_assets set source_url = %s", url)
    site.work()
    site.assert_mirrored()
