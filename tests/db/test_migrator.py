"""The migrator on a database of its own: what it does, twice, at once, and what it refuses."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.db.trees import (
    SHOUT,
    WORK,
    Tree,
    exists,
    rows,
    snapshot,
    value,
)
from worker.db.migrator import Migrator
from worker.db.plan import MigrationFailed, MigrationRefused
from worker.demo.embedded.cluster import postgres_programs


def test_an_empty_database_is_brought_up_to_date(migrated: str, tree: Tree) -> None:
    assert exists(migrated, "public.work")
    assert exists(migrated, "procrastinate.procrastinate_jobs")
    assert value(migrated, "select public.shout('hi')") == "HI"
    assert tree.migrator(migrated).check().up_to_date


def test_a_second_run_does_nothing(migrated: str, tree: Tree) -> None:
    before = rows(migrated, "select * from media_worker.migrations order by kind, name")
    assert tree.migrate(migrated).steps == ()
    assert rows(migrated, "select * from media_worker.migrations order by kind, name") == before


def test_check_changes_nothing(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    before = snapshot(url)
    plan = tree.migrator(url).check()
    assert "migration 0001_work.sql" in [str(step) for step in plan.steps]
    assert snapshot(url) == before


def test_four_at_once_apply_everything_once(url: str, tree: Tree) -> None:
    tree.write(
        "migrations/0001_work.sql", WORK + "insert into public.work select gen_random_uuid();"
    )
    with ThreadPoolExecutor(4) as threads:
        plans = list(threads.map(lambda _: tree.migrate(url), range(4)))
    assert sorted(plan.up_to_date for plan in plans) == [False, True, True, True]
    assert value(url, "select count(*) from public.work") == 1


def test_a_changed_migration_that_was_applied_is_refused(migrated: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK + "-- changed")
    with pytest.raises(MigrationRefused, match=r"0001_work\.sql was changed"):
        tree.migrate(migrated)


def test_a_database_of_a_newer_release_is_refused(migrated: str, tree: Tree) -> None:
    tree.remove("migrations/0001_work.sql")
    with pytest.raises(MigrationRefused, match="does not know"):
        tree.migrate(migrated)


def test_line_endings_of_a_checkout_do_not_count_as_a_change(migrated: str, tree: Tree) -> None:
    (tree.root / "migrations/0001_work.sql").write_bytes(WORK.replace("\n", "\r\n").encode())
    assert tree.migrator(migrated).check().up_to_date


def test_the_script_does_with_psql_what_apply_does(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write(
        "migrations/0002.sql",
        "-- outside a transaction\ncreate index concurrently work_name on public.work (name);",
    )
    tree.write("queue/functions.sql", SHOUT)
    psql = [str(postgres_programs() / "psql"), "--no-psqlrc", "-qX", "-v", "ON_ERROR_STOP=1", url]
    subprocess.run(
        psql, input=tree.migrator(url).script(), text=True, check=True, stdout=subprocess.DEVNULL
    )
    assert tree.migrator(url).check().up_to_date
    assert tree.migrator(url).script() == "-- nothing to do\n"


def test_an_unreadable_url_is_refused_without_being_shown() -> None:
    with pytest.raises(MigrationFailed) as failed:
        Migrator("postgresql//user:secret@host/db").check()
    assert "DATABASE_URL" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_server_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed, match="the database cannot be reached"):
        Migrator(f"postgresql://nobody@/db?host={tmp_path}").check()
