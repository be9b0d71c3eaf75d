"""Database to Cloudinary: rows that bring a source_url."""

from __future__ import annotations

from pathlib import Path

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
