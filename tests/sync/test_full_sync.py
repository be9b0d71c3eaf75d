"""Cloudinary to database: the full sync, and that of a single asset."""

from __future__ import annotations

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.cloudinary.calls import Call
from worker.demo.provider import Provider


def test_an_empty_table_is_filled_with_tags_and_context(site: Site) -> None:
    site.cloudinary.account.add("a/cat", tags=["x", "y"], context={"alt": "a cat"})
    site.cloudinary.account.add("song", resource_type="video", display_name="Song")
    site.cloudinary.account.add("notes.txt", resource_type="raw")
    site.cloudinary.account.add("secret", type="private")
    run = site.sync(batch_size=2)
    assert (run["status"], run["seen"], run["inserted"]) == ("completed", 4, 4)
    site.assert_mirrored()
    cat = site.row("a/cat")
    assert (cat["tags"], cat["context"], cat["type"]) == (["x", "y"], {"alt": "a cat"}, "upload")
    assert site.row("song")["display_name"] == "Song"
    assert {line["operation"] for line in site.log()} == {"upload"}


def test_a_second_sync_changes_nothing_and_says_so(site: Site) -> None:
    for number in range(5):
        site.cloudinary.account.add(f"a{number}", tags=["t"], context={"k": "v"})
    site.sync()
    before, lines = site.rows(), len(site.log())
    run = site.sync()
    assert (run["unchanged"], run["inserted"], run["updated"], run["deleted"]) == (5, 0, 0, 0)
    assert site.rows() == before
    assert len(site.log()) == lines
    said = site.sql("select * from media_sync_log where operation = 'full_sync' order by id")[-1]
    assert (said["status"], said["details"]["unchanged"]) == ("success", 5)
    assert said["processing_time_ms"] >= 0


def test_what_changed_came_and_went_at_cloudinary_is_found(site: Site) -> None:
    account = site.cloudinary.account
    for number in range(20):
        account.add(f"a{number}")
    site.sync(batch_size=7)
    for number in range(4):
        account.change(f"a{number}", tags=["new"], context={"alt": "new"})
    account.rename("a5", "moved/a5")
    for number in range(3):
        account.upload(f"new{number}")
    account.delete("a10", "a11")
    account.upload("a15")
    kept = site.row("a5")["id"]
    run = site.sync(batch_size=7)
    figures = (run["updated"], run["inserted"], run["deleted"], run["unchanged"])
    assert figures == (6, 3, 2, 12)
    site.assert_mirrored()
    assert site.row("moved/a5")["id"] == kept
    assert [line["operation"] for line in site.log("moved/a5")] == ["rename"]
    assert [line["operation"] for line in site.log("a10")] == ["upload", "delete"]
    assert site.sql("select * from cloudinary_cleanup_queue") == []


def test_swapped_names_stay_with_their_assets(site: Site) -> None:
    account = site.cloudinary.account
    account.add("a")
    account.add("b")
    site.sync()
    ids = {name: row["id"] for name, row in site.rows().items()}
    account.rename("a", "c")
    account.rename("b", "a")
    account.rename("c", "b")
    site.sync()
    site.assert_mirrored()
    assert {name: row["id"] for name, row in site.rows().items()} == {
        "a": ids["b"], "b": ids["a"],
    }  # fmt: skip


def test_a_killed_run_goes_on_from_its_cursor(site: Site) -> None:
    for number in range(40):
        site.cloudinary.account.add(f"a{number:02}")
    hold = site.cloudinary.faults.hold("list", skip=3)
    run = site.one("select request_media_sync(batch_size => 10)")
    worker = site.start()
    wait_until(hold.reached.is_set, message="the fourth page", timeout=20)
    worker.kill()
    hold.release()
    assert site.run(run)["seen"] == 30
    before = site.cloudinary.calls["list"]
    site.sql("update media_worker.workers set stopped_at = now()")  # spares the wait for its lease
    site.start()
    site.wait_for("select status = 'completed' from media_sync_runs", timeout=60)
    assert site.run(run)["seen"] == 40
    assert site.run(run)["inserted"] == 40
    # one page of the ten that are left, and the eight other listings
    assert site.cloudinary.calls["list"] - before == 9
    site.assert_mirrored()


@pytest.mark.parametrize("status", [500, 503])
def test_a_page_that_fails_is_asked_for_again(site: Site, status: int) -> None:
    for number in range(6):
        site.cloudinary.account.add(f"a{number}")
    site.cloudinary.faults.answer("list", status, skip=1)
    run = site.one("select request_media_sync(batch_size => 2)")
    site.start()
    site.wait_for("select status = 'completed' from media_sync_runs")
    assert (site.run(run)["seen"], site.run(run)["attempts"]) == (6, 1)


def test_an_expired_cursor_costs_a_listing_from_its_beginning(site: Site) -> None:
    for number in range(6):
        site.cloudinary.account.add(f"a{number}")
    hold = site.cloudinary.faults.hold("list", skip=1)
    run = site.one("select request_media_sync(batch_size => 2)")
    site.start()
    wait_until(hold.reached.is_set, message="the second page", timeout=20)
    site.cloudinary.faults.expire_cursors()
    hold.release()
    site.wait_for("select status = 'completed' from media_sync_runs")
    assert site.run(run)["inserted"] == 6
    site.assert_mirrored()


def test_a_cursor_that_is_always_refused_fails_the_run(site: Site) -> None:
    for number in range(6):
        site.cloudinary.account.add(f"a{number}")
    site.cloudinary.faults.answer("list", 400, times=999, where=_has_cursor)
    run = site.one("select request_media_sync(batch_size => 2)")
    site.start(RETRY_DELAYS="0.01")
    site.wait_for("select status = 'failed' from media_sync_runs")
    assert "status 400" in site.run(run)["error_message"]
    assert site.cloudinary.calls.admin < 20


def test_letters_that_no_database_stores_stop_nothing(site: Site) -> None:
    site.cloudinary.account.add("a", tags=["t\0"], context={"k": "v\0w"})
    site.cloudinary.account.add("b")
    site.sync()
    assert set(site.rows()) == {"a", "b"}
    assert (site.row("a")["tags"], site.row("a")["context"]) == (["t"], {"k": "vw"})


def test_a_rate_limited_account_makes_a_run_wait_and_not_fail(site: Site) -> None:
    for number in range(10):
        site.cloudinary.account.add(f"a{number}")
    site.cloudinary.faults.limit(10, period=2.0)
    run = site.one("select request_media_sync(batch_size => 2)")
    site.start()
    site.wait_for("select status = 'completed' from media_sync_runs", timeout=40)
    assert (site.run(run)["inserted"], site.run(run)["attempts"]) == (10, 1)


def test_an_emptied_account_does_not_empty_the_table(site: Site) -> None:
    for number in range(4):
        site.cloudinary.account.add(f"a{number}")
    site.sync()
    site.cloudinary.account.clear()
    run = site.sync()
    assert run["status"] == "failed"
    assert "4 of 4 rows" in run["error_message"]
    assert "force" in run["error_message"]
    assert len(site.rows()) == 4
    assert site.sync(force=True)["deleted"] == 4
    assert site.rows() == {}


def test_a_replaced_file_leaves_no_hash_of_the_old_one(site: Site, provider: Provider) -> None:
    site.sql(
        "insert into media_assets (public_id, source_url) values ('a', %s)",
        provider.url("/ok/cover.jpg"),
    )
    site.work()
    etag = site.row("a")["etag"]
    assert etag is not None
    site.sync()
    assert site.row("a")["etag"] == etag
    site.cloudinary.account.upload("a")
    site.sync()
    assert site.row("a")["etag"] is None
    site.assert_mirrored()


def test_half_of_the_rows_may_go(site: Site) -> None:
    for number in range(4):
        site.cloudinary.account.add(f"a{number}")
    site.sync()
    site.cloudinary.account.delete("a0", "a1")
    assert site.sync()["deleted"] == 2


def test_what_a_listing_leaves_out_is_looked_for_before_it_is_taken_for_deleted(
    site: Site,
) -> None:
    account = site.cloudinary.account
    for number in range(5):
        account.add(f"a{number}")
    site.sync()
    hold = site.cloudinary.faults.hold("list", skip=1)
    site.one("select request_media_sync(batch_size => 2)")
    site.start()
    wait_until(hold.reached.is_set, message="the second page", timeout=20)
    # behind the cursor now: no page names it any more, under its old name or its new one
    account.rename("a0", "z0")
    account.delete("a1")
    hold.release()
    site.wait_for("select count(*) = 2 from media_sync_runs where status = 'completed'", timeout=20)
    site.assert_mirrored()


def test_a_row_that_came_during_a_run_is_not_taken_for_deleted(site: Site) -> None:
    account = site.cloudinary.account
    for number in range(4):
        account.add(f"a{number}")
    site.sync()
    hold = site.cloudinary.faults.hold("list", after_effect=True)
    site.one("select request_media_sync()")
    site.start()
    wait_until(hold.reached.is_set, message="the page", timeout=20)
    account.add("late")
    site.sql("insert into media_assets (public_id) values ('late')")
    site.wait_for("select sync_status = 'synced' from media_assets where public_id = 'late'")
    hold.release()
    site.wait_for("select count(*) = 2 from media_sync_runs where status = 'completed'")
    site.assert_mirrored()


def test_a_single_asset_is_synced_by_its_public_id(site: Site) -> None:
    account = site.cloudinary.account
    account.add("one", resource_type="video", tags=["x"])
    account.add("two")
    run = site.sync(single_asset="one")
    assert (run["status"], run["inserted"]) == ("completed", 1)
    assert set(site.rows()) == {"one"}
    account.change("one", resource_type="video", tags=["y"])
    site.sync(single_asset="one")
    assert site.row("one")["tags"] == ["y"]
    account.delete("one", resource_type="video")
    assert site.sync(single_asset="one")["deleted"] == 1
    assert site.rows() == {}
    failed = site.sync(single_asset="never")
    assert failed["status"] == "failed"
    assert "never" in failed["error_message"]


def test_asking_again_while_a_run_waits_makes_no_second_one(site: Site) -> None:
    first = site.one("select request_media_sync()")
    assert site.one("select request_media_sync(force => true, batch_size => 50)") == first
    assert site.one("select request_media_sync(single_asset => 'x')") != first
    run = site.run(first)
    assert (run["force"], run["batch_size"]) == (True, 50)
    assert site.one("select count(*) from media_sync_runs") == 2


def test_a_nightly_sync_comes_once_one_was_asked_for(site: Site) -> None:
    nightly = "select media_worker.sync_nightly('02:00')"
    assert site.one(nightly) == 0
    site.sync()
    site.sql("delete from media_worker.periodic_runs")
    assert site.one(nightly) == 0  # the last night was before it
    site.sql("update media_sync_runs set created_at = now() - interval '2 days'")
    site.sql("delete from media_worker.periodic_runs")
    assert site.one(nightly) == 1
    assert site.one(nightly) == 0
    assert site.one("select count(*) from media_sync_runs where status = 'pending'") == 1


def test_an_asset_that_has_taken_another_ones_name_is_a_new_one(site: Site) -> None:
    account = site.cloudinary.account
    account.add("photo")
    site.sync()
    kept = site.row("photo")["id"]
    account.rename("photo", "photo-old")
    account.upload("photo")
    site.sync()
    site.assert_mirrored()
    assert site.row("photo-old")["id"] == kept


def test_asking_again_while_several_runs_wait_is_no_error(site: Site) -> None:
    # a run that a killed worker has left, and one that was asked for meanwhile
    site.sql("insert into media_sync_runs (created_at) values (now() - interval '1 hour'), (now())")
    oldest = site.one("select id from media_sync_runs order by created_at limit 1")
    assert site.one("select request_media_sync(force => true)") == oldest
    assert site.one("select count(*) from media_sync_runs") == 2


def _has_cursor(call: Call) -> bool:
    return bool(call.params.text("next_cursor"))
