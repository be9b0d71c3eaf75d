"""What was deleted stays deleted, and what is wanted stays."""

from __future__ import annotations

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import media
from worker.demo.provider import Provider

DONE = "select bool_and(status = 'completed') from cloudinary_cleanup_queue"


def test_a_sync_does_not_bring_back_what_is_to_be_deleted(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.one("select pause_queue('cleanup')")
    site.sql("delete from media_assets")
    run = site.sync()
    assert (run["inserted"], run["skipped"]) == (0, 1)
    assert site.rows() == {}
    site.one("select resume_queue('cleanup')")
    site.work()
    assert len(site.cloudinary.account) == 0
    site.sync()
    assert site.rows() == {}


def test_a_page_read_before_a_deletion_does_not_bring_it_back(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    hold = site.cloudinary.faults.hold("list", after_effect=True)
    run = site.one("select request_media_sync()")
    site.start()
    wait_until(hold.reached.is_set, message="the page", timeout=20)
    site.sql("delete from media_assets")
    site.wait_for(DONE)
    hold.release()
    site.wait_for("select status = 'completed' from media_sync_runs where id = %s", run)
    assert site.rows() == {}
    assert len(site.cloudinary.account) == 0


def test_deleted_and_inserted_again_the_asset_stays(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["t"])
    site.sync()
    site.sql("delete from media_assets")
    site.sql("insert into media_assets (public_id) values ('a')")
    site.work()
    site.assert_mirrored()
    assert set(site.rows()) == {"a"}


def test_soft_deleted_and_inserted_again_the_asset_stays(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["t"])
    site.sync()
    site.sql("update media_assets set deleted_at = now()")
    site.sql("insert into media_assets (public_id) values ('a')")
    site.work()
    site.assert_mirrored()
    assert set(site.rows()) == {"a"}
    site.sync()
    site.assert_mirrored()


def test_deleted_and_uploaded_again_the_new_one_stays(site: Site, provider: Provider) -> None:
    url = provider.serve("/cat.png", Behaviour(body=media("cover.png")))
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("delete from media_assets")
    site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", url)
    site.work()
    site.assert_mirrored()
    assert set(site.rows()) == {"a"}


def test_a_deleted_media_file_takes_the_mirror_s_row_along(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("insert into media_files (public_id, resource_type) values ('a', 'image')")
    site.sql("delete from media_files")
    site.work()
    assert len(site.cloudinary.account) == 0
    assert site.rows() == {}
    (row,) = site.sql("select * from media_assets")
    assert row["deleted_at"] is not None
    assert site.one("select count(*) from cloudinary_cleanup_queue") == 1


def test_an_asset_uploaded_again_after_its_deletion_comes_back(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a")
    site.sync()
    site.sql("delete from media_assets")
    site.work()
    assert len(account) == 0
    account.upload("a")
    site.sync()
    site.assert_mirrored()
    assert set(site.rows()) == {"a"}


def test_thousands_of_deletions_in_one_statement_are_asked_for_at_once(site: Site) -> None:
    site.sql(
        "insert into media_assets (public_id) select 'a' || i from generate_series(1, 5000) as i"
    )
    site.sql("delete from media_assets")
    assert site.one("select count(*) from cloudinary_cleanup_queue") == 5000
    assert site.one("select total_assets from get_media_statistics()") == 0


def test_a_row_deleted_before_its_new_name_was_pushed_takes_its_asset_along(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    site.sql("update media_assets set public_id = 'b'")
    site.sql("delete from media_assets")
    other = site.cloudinary.account.add("b", version=1)
    site.work()
    assert site.cloudinary.account.assets == [other]


def test_a_row_deleted_while_it_is_renamed_takes_its_asset_along(site: Site) -> None:
    site.cloudinary.account.add("a")
    site.sync()
    hold = site.cloudinary.faults.hold("rename", after_effect=True)
    worker = site.start()
    site.sql("update media_assets set public_id = 'b'")
    wait_until(hold.reached.is_set, message="the call", timeout=20)
    site.sql("delete from media_assets")
    worker.kill()
    hold.release()
    # spares the wait for its leases
    site.sql("update media_worker.workers set stopped_at = now()")
    site.sql(
        "update procrastinate.procrastinate_workers set last_heartbeat = now() - interval '1 hour'"
    )
    site.start()
    wait_until(lambda: len(site.cloudinary.account) == 0, timeout=20, message="the deletion")


def test_a_row_s_asset_is_protected_under_whatever_name_it_has(site: Site) -> None:
    account = site.cloudinary.account
    asset = account.add("x")
    site.sql("insert into media_assets (public_id) values ('x')")
    site.work()
    site.sql("insert into media_files (public_id, resource_type) values ('a', 'image')")
    site.sql("delete from media_files")
    account.rename("x", "a")
    site.work()
    there = account.get("a")
    assert there is not None and there.asset_id == asset.asset_id
    assert "media_assets" in site.one("select error_message from cloudinary_cleanup_queue")


def test_a_row_that_the_mirror_brought_back_protects_nothing(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a")
    site.sql("insert into media_assets (public_id) values ('a')")
    site.work()
    account.upload("a")
    site.sql("update media_assets set deleted_at = now()")
    site.work()
    site.sync()
    assert set(site.rows()) == {"a"}
    site.sql("insert into media_files (public_id, resource_type) values ('a', 'image')")
    site.sql("delete from media_files")
    site.work()
    assert len(account) == 0
    assert site.rows() == {}


@pytest.mark.parametrize("way", ["upload", "rename"])
def test_what_comes_to_a_name_waits_for_the_deletion_under_it(
    site: Site, provider: Provider, way: str
) -> None:
    site.cloudinary.account.add("a")
    site.cloudinary.account.add("b")
    site.sync()
    hold = site.cloudinary.faults.hold("delete")
    worker = site.start()
    site.sql("delete from media_assets where public_id = 'a'")
    wait_until(hold.reached.is_set, message="the deletion", timeout=20)
    if way == "upload":
        url = provider.serve("/a.png", Behaviour(body=media("cover.png")))
        site.sql("insert into media_assets (public_id, source_url) values ('a', %s)", url)
    else:
        site.cloudinary.account.delete("a")  # by hand, so that the name is free
        site.sql("update media_assets set public_id = 'a' where public_id = 'b'")
    worker.wait_for_log("a is being deleted")
    hold.release()
    site.wait_for("select bool_and(sync_status = 'synced') from media_assets")
    site.assert_mirrored()
    assert "a" in site.rows()
