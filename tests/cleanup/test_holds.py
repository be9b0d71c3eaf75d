"""Deletions that wait: for DELETE_GRACE, and for release_deletions()."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.archive.conftest import Archive
from tests.cleanup.library import Library
from tests.support.databases import PostgresServer

STATS = "select * from get_cleanup_queue_stats()"


def some_files(library: Library, number: int) -> list[UUID]:
    return [library.add(f"n{each}") for each in range(number)]


def held(library: Library) -> int:
    return int(library.sql(STATS)[0]["held"])


def test_too_many_deletions_are_held_until_they_are_released(library: Library) -> None:
    some_files(library, 6)
    library.work(DELETE_HOLD_ABOVE="5")
    library.sql("delete from media_files")
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 6
    assert library.cloudinary.calls.admin == 0
    assert held(library) == library.sql(STATS)[0]["pending"] == 6
    assert library.one("select release_deletions()") == 6
    assert held(library) == 0
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 0


def test_as_many_as_are_allowed_are_not_held(library: Library) -> None:
    some_files(library, 5)
    library.sql("delete from media_files")
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 0


def test_held_deletions_are_carried_out_by_a_running_worker_once_released(
    library: Library,
) -> None:
    some_files(library, 6)
    library.start(DELETE_HOLD_ABOVE="5", WORKER_CONCURRENCY="2")
    library.wait_for("select hold_above = 5 from media_worker.cleanup_config")
    library.sql("delete from media_files")
    library.wait_for("select exists (select from media_worker.deletion_holds)")
    library.one("select release_deletions()")
    library.wait_for_rest()
    assert len(library.cloudinary.account) == 0


def test_undoing_some_does_not_release_the_others(library: Library) -> None:
    files = some_files(library, 6)
    library.sql("update media_files set status = 'deleted'")
    library.work(DELETE_HOLD_ABOVE="5")
    library.undo(files[0])
    library.undo(files[1])
    library.soft_delete(library.add("one more"))
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 7
    assert held(library) == 5


def test_what_is_deleted_after_all_was_undone_is_judged_anew(library: Library) -> None:
    files = some_files(library, 6)
    library.sql("update media_files set status = 'deleted'")
    library.work(DELETE_HOLD_ABOVE="5")
    library.sql("update media_files set status = 'active'")
    library.soft_delete(files[0])
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 5


def test_released_deletions_do_not_count_any_more(library: Library) -> None:
    some_files(library, 6)
    library.sql("select pause_queue('cleanup')")
    library.sql("delete from media_files")
    library.sql("select resume_queue('cleanup')")
    library.work(DELETE_HOLD_ABOVE="5")
    library.sql("select pause_queue('cleanup')")
    assert library.one("select release_deletions()") == 6
    library.delete(library.add("more"))
    library.sql("select resume_queue('cleanup')")
    library.work(DELETE_HOLD_ABOVE="5")
    assert len(library.cloudinary.account) == 0


def test_nothing_is_released_where_nothing_is_held(library: Library) -> None:
    library.delete(library.add("cat"))
    assert library.one("select release_deletions()") == 0
    assert library.one("select count(*) from cloudinary_cleanup_queue where released") == 0


def test_a_worker_on_a_copy_of_the_database_leaves_the_assets_alone(
    library: Library, postgres_server: PostgresServer
) -> None:
    library.delete(library.add("cat"))
    name = library.one("select current_database()")
    library.connection.close()
    with postgres_server.fresh_database(template=name) as copy:
        library.work(DATABASE_URL=copy)
        assert library.has("cat")
    library.work()
    assert not library.has("cat")


def test_deletions_queued_on_another_server_are_held(library: Library) -> None:
    library.delete(library.add("cat"))
    library.sql("update cloudinary_cleanup_queue set database = '6862101929592020992/original'")
    library.delete(library.add("dog"))
    library.work()
    assert library.has("cat") and not library.has("dog")
    assert held(library) == 1
    assert library.one("select release_deletions()") == 1
    library.work()
    assert not library.has("cat")


def test_a_row_waits_for_its_grace(library: Library) -> None:
    library.work(DELETE_GRACE="3600")
    file = library.add("cat")
    library.soft_delete(file)
    library.work(DELETE_GRACE="3600")
    assert library.has("cat")
    due = (
        "select next_attempt_at between now() + interval '50 minutes' and now() + interval '1 hour'"
    )
    assert library.one(f"{due} from cloudinary_cleanup_queue")
    assert library.one("select process_cleanup_queue()") == 0
    library.sql("update cloudinary_cleanup_queue set next_attempt_at = now()")  # an hour later
    library.work(DELETE_GRACE="3600")
    assert not library.has("cat")


def test_within_its_grace_a_deletion_can_be_undone(library: Library) -> None:
    library.work(DELETE_GRACE="3600")
    file = library.add("cat")
    library.soft_delete(file)
    library.undo(file)
    assert library.deletion("cat")["status"] == "completed"


@pytest.mark.parametrize("reason", ["hard_delete", "superseded"])
def test_objects_of_deleted_tracks_wait_for_the_grace_and_replaced_ones_do_not(
    archive: Archive, reason: str
) -> None:
    archive.sql("select media_worker.cleanup_configure(3600, 10000)")
    archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work(DELETE_GRACE="3600")
    (track,) = archive.sql("select id from tracks")
    archive.sql(
        "select media_worker.doom_objects('tracks', array[%s]::text[], %s)",
        str(track["id"]),
        reason,
    )
    waits = archive.one("select next_attempt_at is not null from storage_cleanup_queue")
    assert waits is (reason == "hard_delete")


def test_objects_of_too_many_deleted_tracks_are_held(archive: Archive) -> None:
    for _ in range(3):
        archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work(DELETE_HOLD_ABOVE="2")
    archive.sql("delete from tracks")
    archive.work(DELETE_HOLD_ABOVE="2")
    assert len(archive.keys("audio")) == 3
    assert archive.one("select release_deletions()") == 3
    archive.work(DELETE_HOLD_ABOVE="2")
    assert archive.keys("audio") == []


def test_objects_deleted_in_the_original_of_a_copied_database_are_held(archive: Archive) -> None:
    archive.insert_track(archive.provider.url("/ok/melody.mp3"))
    archive.work()
    archive.sql("delete from tracks")
    archive.sql("update storage_cleanup_queue set database = '6862101929592020992/original'")
    archive.work()
    assert len(archive.keys("audio")) == 1


def test_twenty_thousand_rows_of_one_statement_are_held_and_released(library: Library) -> None:
    library.sql(
        "insert into media_files (public_id, resource_type)"
        " select 'n' || n, 'image' from generate_series(1, 20000) as n"
    )
    library.start()
    library.wait_for("select exists (select from worker_status where alive)")
    library.sql("delete from media_files")
    library.wait_for("select exists (select from media_worker.deletion_holds)")
    assert library.cloudinary.calls.admin == 0
    assert held(library) == 20_000
    assert library.one("select release_deletions()") == 20_000
    assert held(library) == 0
    library.wait_for("select completed >= 1000 from get_cleanup_queue_stats()", timeout=60)
