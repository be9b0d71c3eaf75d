"""Database to Cloudinary: inserts, changes, renames and deletions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.behaviour import Behaviour, refusal
from worker.demo.bodies import media
from worker.demo.provider import Provider

PNG, MELODY = media("cover.png"), media("melody.mp3")
SYNCED = "select bool_and(sync_status = 'synced') from media_assets where deleted_at is null"


def test_a_row_with_a_source_is_uploaded(site: Site, provider: Provider) -> None:
    url = provider.serve("/cat.png", Behaviour(body=PNG))
    site.sql(
        "insert into media_assets (public_id, source_url, tags, context, display_name)"
        """ values ('a/cat', %s, '{x,y}', '{"alt": "a=b|c"}', 'Cat')""",
        f"{url}?signature=secret",
    )
    site.start()
    site.wait_for(SYNCED)
    asset = site.cloudinary.account.get("a/cat")
    assert asset is not None
    assert (asset.content, asset.display_name) == (PNG.content, "Cat")
    row = site.row("a/cat")
    assert (row["asset_id"], row["version"]) == (asset.asset_id, asset.version)
    assert (row["bytes"], row["format"]) == (len(PNG.content), "png")
    assert row["secure_url"].endswith(".png")
    site.assert_mirrored()
    assert [(line["operation"], line["status"]) for line in site.log()] == [("upload", "success")]
    assert site.cloudinary.calls["upload"] == 1


def test_a_row_without_a_name_is_named_after_itself(site: Site, provider: Provider) -> None:
    url = provider.serve("/song.mp3", Behaviour(body=MELODY))
    id_ = site.one(
        "insert into media_assets (source_url, folder) values (%s, 'songs') returning id", url
    )
    site.start()
    site.wait_for(SYNCED)
    row = site.row(f"songs/{id_}")
    assert row["resource_type"] == "video"  # by what it is
    site.assert_mirrored()


def test_an_upload_that_the_mirror_has_found_meanwhile_is_the_row_s(
    site: Site, provider: Provider
) -> None:
    url = provider.serve("/song.mp3", Behaviour(body=MELODY))
    hold = site.cloudinary.faults.hold("upload", after_effect=True)
    site.sql("insert into media_assets (public_id, source_url) values ('song', %s)", url)
    site.start()
    wait_until(hold.reached.is_set, message="the upload", timeout=20)
    site.receive(*site.cloudinary.notifications.all)
    site.wait_for("select bool_and(status = 'completed') from media_webhook_events")
    hold.release()
    site.wait_for("select bool_and(status = 'completed') from media_worker.asset_pushes")
    site.assert_mirrored()
    assert site.row("song")["source_url"] == url
    assert site.cloudinary.calls["upload"] == 1


def test_two_rows_that_turn_out_to_be_one_asset_are_told_so(site: Site, provider: Provider) -> None:
    url = provider.serve("/song.mp3", Behaviour(body=MELODY))
    site.cloudinary.account.add("song", resource_type="video")
    site.sql("insert into media_assets (public_id, resource_type) values ('song', 'video')")
    site.work()
    site.sql("insert into media_assets (public_id, source_url) values ('song', %s)", url)
    site.work()
    (row,) = site.sql("select * from media_assets where resource_type = 'image'")
    assert row["sync_status"] == "error"
    assert "another row has the asset video/upload/song" in row["sync_error"]
    assert site.cloudinary.calls["upload"] == 1


def test_a_source_that_is_gone_fails_at_once_and_says_what_to_do(
    site: Site, provider: Provider
) -> None:
    url = provider.serve("/gone.png", refusal(404))
    site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", f"{url}?k=secret")
    worker = site.work()
    row = site.row("a")
    assert row["sync_status"] == "error"
    assert "404" in row["sync_error"] and "source_url" in row["sync_error"]
    assert "secret" not in row["sync_error"] + worker.log
    provider.serve("/gone.png", Behaviour(body=PNG))
    site.sql("update media_assets set sync_status = 'pending' where sync_status = 'error'")
    assert site.row("a")["sync_error"] is None
    site.work()
    assert site.row("a")["sync_status"] == "synced"


def test_a_password_in_a_source_is_in_no_message(site: Site) -> None:
    url = "http://user:secret@127.0.0.1:1/cat.png"
    site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", url)
    worker = site.work()
    message = site.one("select error_message from media_worker.asset_pushes")
    assert "127.0.0.1:1/cat.png" in message
    assert "secret" not in message + worker.log


def test_a_source_that_is_no_url_is_refused(site: Site, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG.content)
    site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", str(secret))
    site.work()
    assert len(site.cloudinary.account) == 0
    row = site.row("a")
    assert row["sync_status"] == "error"
    assert "source_url" in row["sync_error"]


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


def test_a_row_deleted_while_it_is_uploaded_leaves_no_asset(site: Site, provider: Provider) -> None:
    url = provider.serve("/cat.png", Behaviour(body=PNG))
    hold = site.cloudinary.faults.hold("upload")
    site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", url)
    site.start()
    wait_until(hold.reached.is_set, timeout=20, message="the upload")
    site.sql("delete from media_assets")
    site.wait_for("select bool_and(status = 'completed') from cloudinary_cleanup_queue")
    hold.release()
    site.wait_for("select count(*) = 2 from cloudinary_cleanup_queue where status = 'completed'")
    assert len(site.cloudinary.account) == 0


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
