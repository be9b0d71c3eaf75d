"""A deleted row's asset goes from Cloudinary, and only that."""

from __future__ import annotations

from tests.cleanup.library import Library


def test_deleted_row_takes_its_asset_along(library: Library) -> None:
    file = library.add("main-uploads/cat")
    library.add("main-uploads/dog")
    library.start()
    library.delete(file)
    library.wait_for_rest()
    assert not library.has("main-uploads/cat")
    assert library.has("main-uploads/dog")
    deletion = library.deletion("main-uploads/cat")
    assert deletion["status"] == "completed" and deletion["error_message"] is None
    assert (deletion["source_table"], deletion["source_id"]) == ("media_files", str(file))
    assert deletion["reason"] == "hard_delete"


def test_soft_deleted_row_takes_its_asset_along_and_says_when(library: Library) -> None:
    file = library.add("cat", resource_type="video")
    library.soft_delete(file)
    library.work()
    assert not library.has("cat", "video")
    assert library.file(file)["deleted_at"] is not None
    assert library.deletion("cat")["reason"] == "soft_delete"


def test_an_update_that_deletes_nothing_queues_nothing(library: Library) -> None:
    file = library.add("cat")
    library.sql("update media_files set filename = 'x', status = status")
    library.soft_delete(file)
    library.soft_delete(file)
    assert len(library.deletions()) == 1


def test_an_asset_that_is_gone_already_is_no_failure(library: Library) -> None:
    file = library.add("cat")
    library.cloudinary.account.delete("cat")
    library.delete(file)
    library.work()
    assert library.deletion("cat")["status"] == "completed"
    assert library.cloudinary.calls["delete"] == 0


def test_hard_delete_after_a_carried_out_soft_delete_queues_nothing(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.work()
    library.delete(file)
    assert len(library.deletions()) == 1
    assert library.one("select count(*) from media_worker.media_files_without_asset") == 0


def test_hard_delete_before_a_soft_delete_was_carried_out_is_one_deletion(
    library: Library,
) -> None:
    file = library.add("cat")
    library.start()
    with library.connection.transaction():
        library.soft_delete(file)
        library.delete(file)
    library.wait_for_rest()
    assert {row["status"] for row in library.deletions()} == {"completed"}
    assert not library.has("cat")
    assert library.cloudinary.calls["delete"] == 1


def test_tags_and_usage_go_with_their_row(library: Library) -> None:
    file = library.add("cat")
    library.sql("insert into media_file_tags values (%s, 'red')", file)
    library.sql("insert into media_file_usage (media_file_id, used_in) values (%s, 'post')", file)
    library.delete(file)
    assert library.one("select count(*) from media_file_tags") == 0
    assert library.one("select count(*) from media_file_usage") == 0


def test_a_row_without_public_id_queues_nothing(library: Library) -> None:
    library.sql("insert into media_files (filename) values ('x')")
    library.sql("delete from media_files")
    assert library.deletions() == []


def test_a_thousand_rows_of_one_statement_need_at_most_25_calls(library: Library) -> None:
    for number in range(1000):
        library.cloudinary.account.add(f"main-uploads/{number:08}-{'x' * 36}")
    library.sql(
        "insert into media_files (public_id, resource_type, secure_url)"
        " select public_id, 'image', 'https://res.cloudinary.com/c/image/upload/v'"
        " || version || '/' || public_id"
        " from unnest(%s::text[], %s::bigint[]) as a(public_id, version)",
        [asset.public_id for asset in library.cloudinary.account.assets],
        [asset.version for asset in library.cloudinary.account.assets],
    )
    library.start()
    library.sql("delete from media_files")
    library.wait_for_rest()
    assert len(library.cloudinary.account) == 0
    assert library.cloudinary.calls.admin <= 25


def test_a_thousand_rows_of_three_types_need_at_most_25_calls(library: Library) -> None:
    kinds = ["image", "video", "raw"]
    for number in range(1000):
        library.cloudinary.account.add(f"n{number}", resource_type=kinds[number % 3])
    library.sql(
        "insert into media_files (public_id, resource_type)"
        " select public_id, kind from unnest(%s::text[], %s::text[]) as a(public_id, kind)",
        [asset.public_id for asset in library.cloudinary.account.assets],
        [asset.resource_type for asset in library.cloudinary.account.assets],
    )
    library.start()
    library.sql("delete from media_files")
    library.wait_for_rest()
    assert len(library.cloudinary.account) == 0
    assert library.cloudinary.calls.admin <= 25


def test_what_waits_costs_a_run_nothing(library: Library) -> None:
    library.sql(
        "insert into media_files (public_id, resource_type)"
        " select 'n' || n, 'image' from generate_series(1, 6000) as n"
    )
    library.sql("delete from media_files")
    token = library.one("select gen_random_uuid()")
    library.sql(
        "update cloudinary_cleanup_queue set status = 'processing', claim = %s where id in"
        " (select id from cloudinary_cleanup_queue limit 100)",
        token,
    )
    library.sql("set statement_timeout = '1s'")
    library.sql(
        "select media_worker.end_other_deletions(array_agg(id), %s, array_agg('image'::text))"
        " from cloudinary_cleanup_queue where claim = %s",
        token, token,
    )  # fmt: skip
    waiting = "select count(*) from cloudinary_cleanup_queue where status = 'pending'"
    assert library.one(waiting) == 5900


def test_deletions_asked_for_by_hand_are_carried_out(library: Library) -> None:
    library.cloudinary.account.add("cat")
    library.sql("insert into cloudinary_cleanup_queue (public_id) values ('cat')")
    library.work()
    assert not library.has("cat")
    assert library.deletion("cat")["reason"] == "manual"
