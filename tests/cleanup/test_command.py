"""`media-worker cleanup`, and the functions for steering by SQL."""

from __future__ import annotations

from typing import Any

from tests.cleanup.library import Library
from tests.support.wait import wait_until


def answer(library: Library, *arguments: str, **more: str) -> Any:
    return library.command("cleanup", *arguments, "--json", **more).json


def test_without_a_worker_the_command_does_the_work(library: Library) -> None:
    for name in ("cat", "dog", "cow"):
        library.delete(library.add(name))
    said = library.command("cleanup")
    assert (said.code, said.out.splitlines()[0]) == (0, "Carried out 3 of 3 deletions")
    assert len(library.cloudinary.account) == 0
    assert library.cloudinary.calls.admin == 2


def test_as_json_it_says_what_is_left(library: Library) -> None:
    for name in ("cat", "dog", "cow"):
        library.delete(library.add(name))
    said = answer(library, "--batch-size", "2")
    assert said["success"] is True and said["queued"] == 2
    assert said["stats"]["pending"] == 1 and said["stats"]["completed"] == 2
    assert said["stats"]["held"] == said["stats"]["failed"] == 0
    assert len(library.cloudinary.account) == 1


def test_failed_ones_are_tried_anew_when_that_is_asked_for(library: Library) -> None:
    library.delete(library.add("cat"))
    library.sql("update cloudinary_cleanup_queue set status = 'failed'")
    assert answer(library)["queued"] == 0
    assert answer(library, "--retry-failed")["queued"] == 1
    assert not library.has("cat")


def test_exit_status_is_1_when_a_deletion_failed(library: Library) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.answer("delete", 400, times=9)
    said = library.command("cleanup")
    assert said.code == 1
    assert "cat: gave up after 3 tries" in said.out


def test_without_settings_and_worker_it_names_what_is_missing(library: Library) -> None:
    said = library.command("cleanup", CLOUDINARY_URL="")
    assert said.code == 2
    assert "CLOUDINARY_CLOUD_NAME" in said.err


def test_what_is_held_is_said_and_left(library: Library) -> None:
    for name in ("cat", "dog"):
        library.delete(library.add(name))
    library.work(DELETE_HOLD_ABOVE="1")
    said = library.command("cleanup", DELETE_HOLD_ABOVE="1")
    assert "held back: 2" in said.out
    assert len(library.cloudinary.account) == 2


def test_a_living_worker_is_left_the_work(library: Library) -> None:
    library.start()
    library.wait_for("select exists (select from worker_status where alive)")
    library.delete(library.add("cat"))
    library.command("cleanup")
    library.wait_for_rest()  # the worker may have had it in hand already
    assert not library.has("cat")
    assert library.one("select count(distinct claimed_by) from cloudinary_cleanup_queue") == 0


def test_statistics_of_an_empty_queue_are_one_row(library: Library) -> None:
    rows = library.sql("select * from get_cleanup_queue_stats()")
    assert rows == [
        {"pending": 0, "processing": 0, "completed": 0, "failed": 0, "held": 0,
         "oldest_pending_at": None}
    ]  # fmt: skip


def test_processing_by_sql_queues_at_most_a_batch(library: Library) -> None:
    for name in ("cat", "dog", "cow"):
        library.delete(library.add(name))
    assert library.one("select process_cleanup_queue(2)") == 2
    assert library.one("select process_cleanup_queue()") == 3
    assert library.refused("select process_cleanup_queue(0)").sqlstate == "22023"


def test_what_nobody_was_notified_of_is_found(library: Library) -> None:
    library.add("cat")
    library.start(CLEANUP_INTERVAL="0.5")
    library.wait_for("select exists (select from worker_status where alive)")
    library.sql("alter table cloudinary_cleanup_queue disable trigger user")
    library.sql("delete from media_files")
    wait_until(lambda: not library.has("cat"), timeout=6)


def test_completed_rows_are_kept_for_30_days(library: Library) -> None:
    for name in ("cat", "dog"):
        library.delete(library.add(name))
    library.work()
    library.sql(
        "update cloudinary_cleanup_queue set completed_at = now() - interval '31 days',"
        " updated_at = updated_at where public_id = 'cat'"
    )
    library.sql("select media_worker.forget_work('30 days')")
    assert [row["public_id"] for row in library.deletions()] == ["dog"]


def test_status_tells_of_deletions_that_are_held(library: Library) -> None:
    for name in ("cat", "dog"):
        library.delete(library.add(name))
    library.work(DELETE_HOLD_ABOVE="1")
    said = library.command("status").out
    assert "2 deletions of asset_cleanup are held back: more wait than DELETE_HOLD_ABOVE" in said
    assert "select release_deletions()" in said
    found = library.command("status", "--json").json
    assert found["cleanup"]["held"] == 2
    assert [row["held"] for row in found["held"]] == [2]


def test_doctor_tells_of_deletions_that_are_held_and_that_the_account_answers(
    library: Library,
) -> None:
    for name in ("cat", "dog"):
        library.delete(library.add(name))
    library.work(DELETE_HOLD_ABOVE="1")
    library.sql("set session_replication_role = replica")
    library.sql("update cloudinary_cleanup_queue set updated_at = now() - interval '1 hour'")
    said = library.command("doctor").out
    assert "that could run has waited" not in said
    assert "deletions of asset_cleanup are held back: 2, since more waited" in said
    assert "if they are wanted: select release_deletions()" in said
    assert "the Cloudinary account local-cloud answers" in said


def test_doctor_names_the_settings_when_the_keys_are_refused(library: Library) -> None:
    wrong = {"CLOUDINARY_URL": "cloudinary://key:very-secret@local-cloud"}
    said = library.command("doctor", **wrong)
    assert said.code == 1
    assert "Cloudinary refuses access (401)" in said.out
    assert "very-secret" not in said.out + said.err


def test_doctor_tells_of_a_reached_rate_limit(library: Library) -> None:
    library.delete(library.add("cat"))
    library.cloudinary.faults.limit(1)
    library.work()
    said = library.command("doctor").out
    assert "local-cloud at Cloudinary has used up its 1 calls" in said
