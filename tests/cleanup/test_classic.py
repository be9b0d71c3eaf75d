"""Open rows of a classic cloudinary_cleanup_queue become deletions."""

from __future__ import annotations

from tests.cleanup.library import Library

TAKE_OVER = "select media_worker.take_over_classic_jobs()"


def classic(library: Library, columns: str) -> None:
    library.sql(f"create table cloudinary_cleanup_queue_classic (id serial primary key, {columns})")


def test_open_rows_are_taken_over_once(library: Library) -> None:
    classic(library, "public_id text, resource_type text, status text")
    library.sql(
        "insert into cloudinary_cleanup_queue_classic (public_id, resource_type, status) values"
        " ('cat', 'image', 'pending'), ('song', 'audio', 'processing'), ('dog', null, null),"
        " ('done', 'image', 'completed'), ('lost', 'image', 'failed'), (null, 'image', 'pending')"
    )
    assert library.one(TAKE_OVER) == 3
    assert library.one(TAKE_OVER) == 0
    found = {row["public_id"]: row["resource_type"] for row in library.deletions()}
    assert found == {"cat": "image", "song": "video", "dog": None}
    assert {row["reason"] for row in library.deletions()} == {"manual"}


def test_a_table_without_types_is_understood(library: Library) -> None:
    classic(library, "public_id varchar(80), status text")
    library.sql(
        "insert into cloudinary_cleanup_queue_classic (public_id, status) values ('cat', 'pending')"
    )
    library.cloudinary.account.add("cat")
    assert library.one(TAKE_OVER) == 1
    library.work()
    assert not library.has("cat")


def test_a_table_of_another_shape_is_passed_over(library: Library) -> None:
    classic(library, "asset text, status text")
    assert library.one(TAKE_OVER) == 0
