"""A soft delete can be undone until it has begun; afterwards a new asset is needed."""

from __future__ import annotations

import pytest

from tests.cleanup.library import Library
from tests.support.wait import wait_until

LOST = "55000"


def test_undo_before_it_ran_cancels_it(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.undo(file)
    library.work()
    assert library.has("cat")
    assert library.deletion("cat")["error_message"].startswith("cancelled: ")
    row = library.file(file)
    assert (row["status"], row["deleted_at"]) == ("active", None)
    assert library.one("select completed from get_cleanup_queue_stats()") == 0


def test_undone_and_deleted_again_it_goes(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.undo(file)
    library.soft_delete(file)
    library.work()
    assert not library.has("cat")


def test_undo_afterwards_is_refused(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.work()
    said = library.refused("update media_files set status = 'active'")
    assert said.sqlstate == LOST
    assert str(file) in str(said.message_primary)
    assert "was deleted at Cloudinary" in str(said.message_primary)
    assert "secure_url" in str(said.message_hint)
    assert library.file(file)["status"] == "deleted"


def test_undo_afterwards_is_refused_when_the_deletion_is_forgotten(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.work()
    library.sql("delete from cloudinary_cleanup_queue")
    assert library.refused("update media_files set status = 'active'").sqlstate == LOST


def test_undo_while_it_runs_is_refused(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    hold = library.cloudinary.faults.hold("list")
    library.start()
    assert hold.reached.wait(20)
    said = library.refused("update media_files set status = 'active'")
    assert "is being deleted" in str(said.message_primary)
    hold.release()
    library.wait_for_rest()
    assert not library.has("cat")


def test_undo_with_a_new_asset_is_accepted(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.work()
    new = library.cloudinary.account.upload("cat")
    library.sql(
        "update media_files set status = 'active', secure_url = %s", library.secure_url(new)
    )
    library.sql("update media_files set filename = 'x'")
    library.work()
    assert library.has("cat")
    library.soft_delete(file)
    library.work()
    assert not library.has("cat")


def test_undo_after_a_lost_answer_is_refused(library: Library) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.cloudinary.faults.cut("delete", after_effect=True)
    library.work(RETRY_DELAYS="60")
    assert library.deletion("cat")["status"] == "pending"
    assert not library.has("cat")
    said = library.refused("update media_files set status = 'active'")
    assert "may have been deleted" in str(said.message_primary)


@pytest.mark.parametrize("status", [401, 400, 429])
def test_undo_after_a_refusal_by_cloudinary_is_accepted(library: Library, status: int) -> None:
    file = library.add("cat")
    library.soft_delete(file)
    library.cloudinary.faults.answer("delete", status)
    library.work(RETRY_DELAYS="60")
    assert library.cloudinary.calls["delete"] == 1
    assert library.deletion("cat")["status"] == "pending"
    library.undo(file)
    library.work()
    assert library.has("cat")


def test_undo_of_a_deletion_that_turned_out_unwanted_is_accepted(library: Library) -> None:
    file = library.add("cat")
    other = library.insert(library.cloudinary.account.assets[0])
    library.soft_delete(file)
    library.work()
    library.delete(other)
    library.undo(file)
    library.work()
    assert library.has("cat")


def test_of_rows_with_one_asset_none_can_be_had_back_once_it_went(library: Library) -> None:
    first = library.add("cat")
    second = library.insert(library.cloudinary.account.assets[0])
    with library.connection.transaction():
        library.soft_delete(first)
        library.soft_delete(second)
        library.sql(
            "update cloudinary_cleanup_queue set next_attempt_at = now() + interval '1 hour'"
            " where source_id = %s",
            str(second),
        )
    library.work()
    assert not library.has("cat")
    query = "update media_files set status = 'active' where id = %s"
    assert library.refused(query, second).sqlstate == LOST


def test_a_deletion_waits_for_an_undo_that_is_not_committed(library: Library) -> None:
    first = library.add("cat")
    second = library.insert(library.cloudinary.account.assets[0])
    library.sql("select pause_queue('cleanup')")
    library.sql("update media_files set status = 'deleted'")
    with library.another() as session:
        session.execute("update media_files set status = 'active' where id = %s", [first])
        library.sql("select resume_queue('cleanup')")
        worker = library.start()
        worker.wait_for_log("is being changed")
        assert library.has("cat")
    library.wait_for_rest()
    assert library.has("cat")
    assert library.file(second)["status"] == "deleted"


def test_rows_soft_deleted_before_can_be_had_back(library: Library) -> None:
    file = library.add("cat", status="deleted")
    library.undo(file)
    library.work()
    assert library.has("cat")
    assert library.deletions() == []


def test_many_rows_are_had_back_in_one_statement(library: Library) -> None:
    library.sql(
        "insert into media_files (public_id, resource_type)"
        " select 'n' || n, 'image' from generate_series(1, 2000) as n"
    )
    library.sql("update media_files set status = 'deleted'")
    library.sql("update media_files set status = 'active'")
    library.work()
    wait_until(lambda: {row["status"] for row in library.deletions()} == {"completed"})
    assert library.cloudinary.calls.admin == 0
