"""The migrator on a database of its own: what it does, twice, at once, and cut off."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.db.trees import SHOUT, WORK, Tree, exists, has_function, rows, run, snapshot, value
from tests.support.wait import wait_until
from worker.db.migrator import LOCK_KEY, Migrator
from worker.db.plan import MigrationFailed, MigrationRefused
from worker.demo.embedded.cluster import postgres_programs

WORDS_VIEW = "create or replace view public.words as select id, name from public.work;\n"


@pytest.fixture
def migrated(url: str, tree: Tree) -> str:
    tree.write("migrations/0001_work.sql", WORK)
    tree.write("queue/functions.sql", SHOUT)
    tree.write("cdn/views.sql", WORDS_VIEW)
    tree.migrate(url)
    return url


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


def test_a_changed_function_is_applied_again_in_place(migrated: str, tree: Tree) -> None:
    oid = value(migrated, "select 'public.shout(text)'::regprocedure::oid")
    tree.write("queue/functions.sql", SHOUT.replace("upper(word)", "upper(word) || '!'"))
    tree.migrate(migrated)
    assert value(migrated, "select public.shout('hi')") == "HI!"
    assert value(migrated, "select 'public.shout(text)'::regprocedure::oid") == oid


def test_a_function_may_change_its_result_type(migrated: str, tree: Tree) -> None:
    tree.write(
        "queue/functions.sql",
        "create or replace function public.shout(word text) returns integer\n"
        "language sql set search_path = '' as $$ select length(word) $$;\n",
    )
    tree.migrate(migrated)
    assert value(migrated, "select public.shout('hi')") == 2


def test_a_function_under_a_view_may_change_its_result_type(migrated: str, tree: Tree) -> None:
    view = (
        "create or replace view public.loud as select public.shout(name) as word from public.work;"
    )
    tree.write("cdn/views.sql", WORDS_VIEW + view)
    tree.migrate(migrated)
    test_a_function_may_change_its_result_type(migrated, tree)
    assert exists(migrated, "public.loud")


def test_a_function_with_a_new_parameter_leaves_no_second_signature(
    migrated: str, tree: Tree
) -> None:
    tree.write("queue/functions.sql", SHOUT.replace("word text)", "word text, loud int default 1)"))
    tree.migrate(migrated)
    assert value(migrated, "select public.shout('hi')") == "HI"
    assert not has_function(migrated, "public.shout(text)")


def test_what_no_file_defines_any_more_is_dropped(migrated: str, tree: Tree) -> None:
    trigger = (
        "create or replace function public.quiet() returns trigger language plpgsql"
        " set search_path = '' as $$ begin return null; end $$;"
        "create or replace trigger zz_media_worker_quiet after insert on public.work"
        " for each statement execute function public.quiet();"
    )
    tree.write("cdn/triggers.sql", trigger)
    tree.migrate(migrated)
    assert (
        value(
            migrated,
            "select count(*) from pg_trigger where not tgisinternal"
            " and tgrelid = 'public.work'::regclass",
        )
        == 1
    )
    tree.remove("cdn/triggers.sql")
    tree.remove("cdn/views.sql")
    tree.migrate(migrated)
    assert not has_function(migrated, "public.quiet()")
    assert not exists(migrated, "public.words")
    assert has_function(migrated, "public.shout(text)")


def test_a_teams_own_function_of_the_same_name_is_left_alone(migrated: str, tree: Tree) -> None:
    run(migrated, "create function public.shout(a int) returns int language sql as 'select a'")
    tree.write("queue/functions.sql", SHOUT + "-- changed")
    tree.migrate(migrated)
    assert has_function(migrated, "public.shout(int)")


def test_a_view_may_lose_a_column(migrated: str, tree: Tree) -> None:
    tree.write(
        "cdn/views.sql", "create or replace view public.words as select name from public.work;"
    )
    tree.migrate(migrated)
    assert rows(
        migrated, "select column_name from information_schema.columns where table_name = 'words'"
    ) == [("name",)]


def test_a_teams_view_on_a_view_that_changes_is_named(migrated: str, tree: Tree) -> None:
    run(migrated, "create view public.report as select id from public.words")
    tree.write(
        "cdn/views.sql", "create or replace view public.words as select name from public.work;"
    )
    with pytest.raises(MigrationFailed, match=r"view public\.report depends on view public\.words"):
        tree.migrate(migrated)
    assert exists(migrated, "public.report")


def test_something_of_ours_that_was_dropped_by_hand_comes_back(migrated: str, tree: Tree) -> None:
    run(migrated, "drop view public.words")
    tree.migrate(migrated)
    assert exists(migrated, "public.words")


def test_a_function_may_call_one_that_a_later_file_defines(url: str, tree: Tree) -> None:
    tree.write(
        "cdn/functions.sql", SHOUT.replace("shout", "first").replace("upper", "public.later")
    )
    tree.write("sync/functions.sql", SHOUT.replace("shout", "later"))
    tree.migrate(url)
    assert value(url, "select public.first('hi')") == "HI"


def test_a_function_that_calls_nothing_known_is_refused(url: str, tree: Tree) -> None:
    tree.write("cdn/functions.sql", SHOUT.replace("upper", "public.nowhere"))
    complaint = r"function public\.shout\(text\): function public\.nowhere\(text\)"
    with pytest.raises(MigrationFailed, match=complaint):
        tree.migrate(url)
    assert not has_function(url, "public.shout(text)")


def test_folders_come_in_their_order_and_grants_last(url: str, tree: Tree) -> None:
    note = "insert into public.notes (name) values ('{}');"
    tree.write("migrations/0001.sql", "create table public.notes (id serial, name text);")
    names = ["grants.sql", "monitoring/views.sql", "sync/a.sql", "archive/a.sql", "queue/z.sql"]
    for name in names:
        tree.write(name, note.format(name))
    tree.migrate(url)
    found = [name for (name,) in rows(url, "select name from public.notes order by id")]
    assert found == [
        "queue/z.sql",
        "archive/a.sql",
        "sync/a.sql",
        "monitoring/views.sql",
        "grants.sql",
    ]


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


def test_a_function_of_the_grants_is_ours_too(migrated: str, tree: Tree) -> None:
    grants = "revoke all on all functions in schema public from public;\n"
    tree.write("grants.sql", grants + SHOUT.replace("shout", "granted"))
    tree.migrate(migrated)
    tree.write("grants.sql", grants)
    tree.write("queue/functions.sql", SHOUT.replace("word text)", "word text, loud int default 1)"))
    tree.migrate(migrated)
    assert not has_function(migrated, "public.granted(text)")
    assert not has_function(migrated, "public.shout(text)")


def test_a_function_is_checked_with_its_own_search_path(url: str, tree: Tree) -> None:
    tree.write(
        "queue/functions.sql",
        "create or replace function public.jobs() returns bigint language sql\n"
        "set search_path = procrastinate, pg_temp as 'select count(*) from procrastinate_jobs';",
    )
    tree.migrate(url)
    assert value(url, "select public.jobs()") == 0


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
