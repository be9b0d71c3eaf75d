"""What somebody uses, or has uploaded anew, is not deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cleanup.library import Library
from tests.support.wait import wait_until


def assert_cancelled(library: Library, public_id: str, reason: str) -> None:
    deletion = library.deletion(public_id)
    assert deletion["status"] == "completed"
    assert deletion["error_message"].startswith("cancelled: ")
    assert reason in deletion["error_message"]


def test_an_asset_that_a_new_row_uses_stays(library: Library) -> None:
    library.delete(library.add("cat"))
    other = library.insert(library.cloudinary.account.assets[0])
    library.work()
    assert library.has("cat")
    assert_cancelled(library, "cat", f"media_files {other} uses the asset")
    assert library.cloudinary.calls.admin == 0
    library.delete(other)
    library.work()
    assert not library.has("cat")


def test_a_row_without_a_delivery_type_protects_the_uploaded_one(library: Library) -> None:
    file = library.add("cat")
    library.insert(library.cloudinary.account.assets[0], type="")
    library.delete(file)
    library.work()
    assert library.has("cat")


def test_a_type_that_is_a_path_leads_to_no_other_asset(library: Library) -> None:
    library.add("cat", resource_type="video")
    library.sql(
        "insert into media_files (public_id, resource_type, type)"
        " values ('cat', 'image', '../video/upload')"
    )
    library.sql("delete from media_files where resource_type = 'image'")
    library.work()
    assert library.has("cat", "video")
    assert library.deletion("cat")["status"] == "failed"


def test_a_row_of_unknown_type_protects_all_types(library: Library) -> None:
    library.delete(library.add("cat", resource_type="video"))
    library.sql("insert into media_files (public_id) values ('cat')")
    library.work()
    assert library.has("cat", "video")


@pytest.mark.parametrize(
    "values",
    [{"resource_type": "video"}, {"type": "private"}, {"public_id": "Cat"}, {"status": "deleted"}],
)
def test_a_row_of_another_asset_protects_nothing(library: Library, values: dict[str, Any]) -> None:
    file = library.add("cat")
    row = {"public_id": "cat", "resource_type": "image", "type": "upload", **values}
    names = ", ".join(row)
    library.sql(f"insert into media_files ({names}) values (%s, %s, %s{', %s' * (len(row) - 3)})",
                *row.values())  # fmt: skip
    library.delete(file)
    library.work()
    assert not library.has("cat")


def test_a_newer_version_stays(library: Library) -> None:
    file = library.add("cat")
    old = library.cloudinary.account.assets[0]
    library.delete(file)
    new = library.cloudinary.account.upload("cat", b"another")
    assert new.version > old.version
    library.work()
    assert library.has("cat")
    assert_cancelled(library, "cat", f"{new.version}, is newer than the deleted row's")


def test_the_type_is_taken_from_the_url(library: Library) -> None:
    file = library.add("cat", resource_type="video")
    library.cloudinary.account.add("cat")
    library.sql("update media_files set resource_type = null")
    library.delete(file)
    library.work()
    assert not library.has("cat", "video") and library.has("cat", "image")


def test_an_unknown_type_is_looked_for(library: Library) -> None:
    library.delete(library.add("song", resource_type="raw", secure_url=None))
    library.delete(library.add("cat", resource_type="video", secure_url=None))
    library.sql("update cloudinary_cleanup_queue set resource_type = null")
    library.work()
    assert len(library.cloudinary.account) == 0
    assert [row["status"] for row in library.deletions()] == ["completed"] * 2


def test_of_several_candidates_none_is_deleted(library: Library) -> None:
    library.cloudinary.account.add("cat", resource_type="raw")
    file = library.add("cat", secure_url=None)
    library.sql("update media_files set resource_type = null")
    library.delete(file)
    library.work()
    assert library.has("cat") and library.has("cat", "raw")
    deletion = library.deletion("cat")
    assert deletion["status"] == "failed"
    assert "image/upload/cat, raw/upload/cat" in deletion["error_message"]
    library.sql("update cloudinary_cleanup_queue set resource_type = 'raw', status = 'pending'")
    library.work()
    assert library.has("cat") and not library.has("cat", "raw")


def test_of_an_unknown_type_what_a_row_names_is_protected(library: Library) -> None:
    file = library.add("cat", resource_type="video", secure_url=None)
    library.insert(library.cloudinary.account.assets[0])
    library.sql("update media_files set resource_type = null where id = %s", file)
    library.delete(file)
    library.work()
    assert library.has("cat", "video")
    assert_cancelled(library, "cat", "uses the asset")


def test_a_row_that_comes_between_look_and_deletion_protects(library: Library) -> None:
    library.delete(library.add("cat"))
    asset = library.cloudinary.account.assets[0]
    hold = library.cloudinary.faults.hold("list", after_effect=True)
    library.start()
    assert hold.reached.wait(20)
    library.insert(asset)
    hold.release()
    library.wait_for_rest()
    assert library.has("cat")
    assert_cancelled(library, "cat", "uses the asset")


def test_a_row_that_comes_during_the_deletion_is_named(library: Library) -> None:
    library.delete(library.add("cat"))
    asset = library.cloudinary.account.assets[0]
    hold = library.cloudinary.faults.hold("delete", after_effect=True)
    library.start()
    assert hold.reached.wait(20)
    other = library.insert(asset)
    hold.release()
    library.wait_for_rest()
    deletion = library.deletion("cat")
    assert deletion["status"] == "completed"
    assert f"media_files {other}" in deletion["error_message"]
    assert f"media_files {other}" in library.one("select error_message from media_sync_log")
    assert not deletion["error_message"].startswith("cancelled:")


def test_deletions_of_one_asset_are_carried_out_together(library: Library) -> None:
    first = library.add("cat")
    second = library.insert(library.cloudinary.account.assets[0])
    library.sql("delete from media_files where id = any (%s)", [first, second])
    library.work()
    assert [row["status"] for row in library.deletions()] == ["completed"] * 2
    assert library.cloudinary.calls["delete"] == 1
    assert not library.has("cat")


def test_transactions_that_delete_in_opposite_order_do_not_meet(library: Library) -> None:
    files = [library.add("a"), library.add("b")]
    files += [library.insert(asset) for asset in library.cloudinary.account.assets]
    with library.another() as one, library.another() as other:
        one.execute("delete from media_files where id = %s", [files[0]])
        other.execute("delete from media_files where id = %s", [files[3]])
        one.execute("delete from media_files where id = %s", [files[1]])
        other.execute("delete from media_files where id = %s", [files[2]])
    library.work()
    wait_until(lambda: len(library.cloudinary.account) == 0)


def test_a_row_of_the_library_that_the_application_inserted_protects(library: Library) -> None:
    library.delete(library.add("cat"))
    row = library.one("insert into media_assets (public_id) values ('cat') returning id")
    library.work("--queues", "cleanup")
    assert library.has("cat")
    assert_cancelled(library, "cat", f"media_assets {row} uses the asset")


def test_a_row_that_the_mirror_inserted_protects_nothing_and_is_marked(library: Library) -> None:
    library.delete(library.add("cat"))
    row = library.one("insert into media_assets (public_id) values ('cat') returning id")
    library.sql(
        "insert into media_worker.mirrored_assets (id, inserted_by_mirror, base)"
        " values (%s, true, '{}') on conflict (id) do update set inserted_by_mirror = true",
        row,
    )
    library.work("--queues", "cleanup")
    assert not library.has("cat")
    assert library.one("select deleted_at is not null from media_assets")
    assert len(library.deletions()) == 1
    logged = library.sql("select operation, status, source, public_id from media_sync_log")
    assert logged == [
        {"operation": "delete", "status": "success", "source": "database", "public_id": "cat"}
    ]


def test_a_deletion_is_open_until_it_is_carried_out(library: Library) -> None:
    def is_open(resource_type: str, public_id: str = "cat") -> bool:
        query = "select media_worker.deletion_is_open(%s, 'upload', %s)"
        return library.one(query, resource_type, public_id) is True

    assert not is_open("image")
    library.delete(library.add("cat"))
    assert is_open("image") and not is_open("video") and not is_open("image", "dog")
    library.sql("update cloudinary_cleanup_queue set status = 'failed'")
    assert is_open("image")
    library.sql("update cloudinary_cleanup_queue set status = 'pending', resource_type = null")
    assert is_open("video")
    library.work("--queues", "cleanup")
    assert not is_open("image")


def test_an_older_row_that_goes_last_takes_the_newer_version_along(library: Library) -> None:
    old = library.add("cat")
    new = library.insert(library.cloudinary.account.upload("cat", b"another"))
    library.delete(new)
    library.work("--queues", "cleanup")
    assert library.has("cat")
    library.delete(old)
    library.work("--queues", "cleanup")
    assert not library.has("cat")


def test_a_folder_that_looks_like_a_version_is_none(library: Library) -> None:
    url = "https://res.cloudinary.com/demo/image/upload/albums/v2/cat.png"
    library.delete(library.add("albums/v2/cat", secure_url=url))
    library.work()
    assert not library.has("albums/v2/cat")


def test_what_was_uploaded_anew_and_deleted_during_a_deletion_goes_too(library: Library) -> None:
    hold = library.cloudinary.faults.hold("delete", after_effect=True)
    library.delete(library.add("cat"))
    library.start()
    wait_until(hold.reached.is_set, message="the deletion", timeout=20)
    library.delete(library.add("cat"))
    hold.release()
    library.wait_for_rest()
    assert not library.has("cat")


def test_a_row_that_came_after_a_lost_answer_is_told(library: Library) -> None:
    library.delete(library.add("cat"))
    asset = library.cloudinary.account.assets[0]
    library.cloudinary.faults.cut("delete", after_effect=True)
    library.work(RETRY_DELAYS="60")
    other = library.insert(asset)
    library.sql("update media_worker.outages set next_probe_at = now()")
    library.start()
    library.wait_for_rest()
    deletion = library.deletion("cat")
    assert f"although media_files {other} came to use it" in deletion["error_message"]
    (line,) = library.sql("select * from media_sync_log")
    assert (line["operation"], line["status"]) == ("delete", "conflict")


def test_what_came_in_between_is_told_though_the_run_is_cut_off_then(library: Library) -> None:
    library.delete(library.add("cat"))
    other = library.insert(library.cloudinary.account.assets[0])
    token = library.one("select gen_random_uuid()")
    library.sql("update cloudinary_cleanup_queue set status = 'processing', claim = %s", token)
    end = (
        "select note from media_worker.asset_cleanup_end((select array_agg(id)"
        " from cloudinary_cleanup_queue), %s, '{image}', '{1}', '{null}', '{true}', 0)"
    )
    note = library.one(end, token)
    assert f"although media_files {other} came to use it" in note
    assert library.deletion("cat")["error_message"] == note
    library.sql("truncate media_files, media_file_tags, media_file_usage")
    assert library.one(end, token) == note
