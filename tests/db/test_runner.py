"""Steps among others' locks: waited for, tried again, never half done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.db.trees import (
    SHOUT,
    WORK,
    Tree,
    exists,
    rows,
    run,
)
from tests.support.wait import wait_until
from worker.db.migrator import LOCK_KEY, Migrator
from worker.db.plan import MigrationFailed


def test_a_cut_connection_leaves_a_state_that_the_next_run_completes(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write("migrations/0002_slow.sql", "create table public.slow (); select pg_sleep(60);")
    with ThreadPoolExecutor(1) as threads:
        cut_off = threads.submit(tree.migrate, url)
        kill = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
        kill += " and datname = current_database()"
        wait_until(lambda: rows(url, kill))
        with pytest.raises(MigrationFailed, match="run migrate again"):
            cut_off.result()
    assert exists(url, "public.work")
    assert not exists(url, "public.slow")
    tree.write("migrations/0002_slow.sql", "create table public.slow ();")
    tree.migrate(url)
    assert exists(url, "public.slow")


def test_a_broken_migration_leaves_nothing_of_itself(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK + "select 1 / 0;")
    with pytest.raises(MigrationFailed, match=r"0001_work\.sql: division by zero"):
        tree.migrate(url)
    assert not exists(url, "public.work")


def test_a_writer_that_holds_its_locks_for_a_while_is_waited_for(migrated: str, tree: Tree) -> None:
    tree.write("migrations/0002.sql", "alter table public.work add column extra text;")
    with ThreadPoolExecutor(1) as threads, psycopg.connect(migrated) as writer:
        writer.execute("insert into public.work (id) values (gen_random_uuid())")
        migration = threads.submit(tree.migrate, migrated)
        waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        waits += " and datname = current_database()"
        wait_until(lambda: rows(migrated, waits))
        wait_until(lambda: not rows(migrated, waits))
        writer.commit()
        migration.result()
    assert "extra" in [
        name
        for (name,) in rows(
            migrated, "select attname from pg_attribute where attrelid = 'public.work'::regclass"
        )
    ]


def test_an_index_is_built_outside_a_transaction_and_an_invalid_one_replaced(
    migrated: str, tree: Tree
) -> None:
    run(migrated, "insert into public.work values (gen_random_uuid()), (gen_random_uuid())")
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(migrated, "create unique index concurrently work_name on public.work (name)")
    run(migrated, "delete from public.work")
    tree.write(
        "migrations/0002.sql",
        "-- outside a transaction\n-- serves; nothing\n"
        "create unique index concurrently work_name on public.work (name);\n"
        "create index concurrently work_id on public.work (id);\n",
    )
    run(migrated, "create index work_id on public.work (id)")
    tree.migrate(migrated)
    valid = "select bool_and(indisvalid), count(*) from pg_index"
    valid += " where indrelid = 'public.work'::regclass"
    assert rows(migrated, valid) == [(True, 3)]
    assert tree.migrator(migrated).check().up_to_date


def test_an_index_is_built_while_another_migrate_waits(migrated: str, tree: Tree) -> None:
    tree.write(
        "migrations/0002.sql",
        "-- outside a transaction\ncreate index concurrently work_name on public.work (name);\n",
    )
    with ThreadPoolExecutor(3) as threads:
        plans = list(threads.map(lambda _: tree.migrate(migrated), range(3)))
    assert sorted(plan.up_to_date for plan in plans) == [False, True, True]


def test_waiting_for_another_migrate_ends_at_the_deadline(migrated: str, tree: Tree) -> None:
    with psycopg.connect(migrated, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", [LOCK_KEY])
        with pytest.raises(MigrationFailed, match="still running"):
            Migrator(migrated, sql_root=tree.root, lock_deadline=0.1).apply()


def test_what_goes_without_a_transaction_comes_last(url: str, tree: Tree) -> None:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write(
        "migrations/0002_index.sql",
        "-- outside a transaction\ncreate index concurrently work_name on public.work (name);\n",
    )
    tree.write("migrations/0003_more.sql", "create table public.more ();")
    tree.write("queue/functions.sql", SHOUT)
    kinds = [step.kind for step in tree.migrate(url).steps]
    assert kinds[-4:] == ["migration", "migration", "repeatable", "migration"]
    assert not rows(url, "select from pg_index where not indisvalid")
    assert tree.migrator(url).check().up_to_date
