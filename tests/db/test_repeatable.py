"""Functions, views, triggers and grants: applied again in place whenever they change."""

from __future__ import annotations

import pytest

from tests.db.trees import (
    SHOUT,
    WORDS_VIEW,
    Tree,
    exists,
    has_function,
    rows,
    run,
    value,
)
from worker.db.plan import MigrationFailed


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
