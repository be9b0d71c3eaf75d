"""The application's own tables: created, completed, refused or left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.db.trees import Tree, exists, rows, run, snapshot, value
from worker.db.declarations import read_tables
from worker.db.migrator import Migrator
from worker.db.plan import MigrationRefused
from worker.db.sqlfiles import sql_root

TRACKS = """
create table public.tracks (
    id uuid primary key, user_id uuid, title text, provider text, status text,
    audio_url text, cover_url text, video_url text, created_at timestamptz, mood text
);
insert into public.tracks (id, title, status, mood)
values (gen_random_uuid(), 'Song', 'completed', 'blue');
"""
ADDED = {
    "archived_to_storage": "boolean",
    "storage_audio_url": "text",
    "storage_cover_url": "text",
    "storage_video_url": "text",
    "archive_scheduled_at": "timestamp with time zone",
    "archived_at": "timestamp with time zone",
}


@pytest.fixture
def tree(tree: Tree) -> Tree:
    """The shipped declarations, without anything else."""
    shipped = sql_root() / "archive/application_tables.toml"
    tree.write("archive/application_tables.toml", shipped.read_text())
    return tree


def problems(url: str, tree: Tree) -> str:
    with pytest.raises(MigrationRefused) as refused:
        tree.migrate(url)
    return "\n".join(refused.value.problems)


def columns(url: str, table: str) -> dict[str, str]:
    query = "select attname, format_type(atttypid, atttypmod) from pg_attribute"
    query += " where attrelid = %s::regclass and attnum > 0"
    return dict(rows(url, query, table))


def test_absent_tables_are_created_with_row_level_security_and_comments(
    url: str, tree: Tree
) -> None:
    tree.migrate(url)
    query = "select name, created_by_us, usable, problems from media_worker.application_tables"
    assert rows(url, query + " order by 1") == [
        ("notifications", True, True, []),
        ("tracks", True, True, []),
    ]
    secured = "select relrowsecurity from pg_class where relname in ('tracks', 'notifications')"
    assert rows(url, secured) == [(True,), (True,)]
    bare = "select a.attname from pg_attribute a where a.attnum > 0 and a.attrelid in"
    bare += " ('public.tracks'::regclass, 'public.notifications'::regclass)"
    assert rows(url, bare + " and col_description(a.attrelid, a.attnum) is null") == []


def test_missing_columns_are_added_and_rows_and_columns_kept(url: str, tree: Tree) -> None:
    run(url, TRACKS)
    tree.migrate(url)
    assert ADDED.items() <= columns(url, "public.tracks").items()
    kept = "select title, status, mood, archived_to_storage from public.tracks"
    assert rows(url, kept) == [("Song", "completed", "blue", False)]
    assert not value(url, "select relrowsecurity from pg_class where relname = 'tracks'")
    ours = "select created_by_us from media_worker.application_tables where name = 'tracks'"
    assert value(url, ours) is False
    assert tree.migrator(url).check().up_to_date


def test_a_column_that_was_dropped_comes_back(url: str, tree: Tree) -> None:
    tree.migrate(url)
    run(url, "alter table public.tracks drop column archived_at")
    tree.migrate(url)
    assert "archived_at" in columns(url, "public.tracks")
    ours = "select created_by_us from media_worker.application_tables where name = 'tracks'"
    assert value(url, ours) is True


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        ("title", "varchar(200)"),
        ("title", "char(20)"),
        ("title", "public.short"),
        ("status", "public.state"),
        ("created_at", "timestamp"),
    ],
)
def test_types_of_the_same_family_fit(url: str, tree: Tree, column: str, type_: str) -> None:
    run(
        url,
        "create domain public.short as varchar(20);"
        "create type public.state as enum ('queued', 'completed')",
    )
    run(url, TRACKS.split("insert")[0])
    run(url, f"alter table public.tracks alter column {column} type {type_} using null")
    tree.migrate(url)
    assert columns(url, "public.tracks")[column].replace("character", "char")


def test_what_does_not_fit_is_listed_before_anything_is_changed(url: str, tree: Tree) -> None:
    run(url, TRACKS)
    run(
        url,
        """
        alter table public.tracks drop constraint tracks_pkey;
        alter table public.tracks alter column user_id type bigint using null;
        alter table public.tracks add column storage_audio_url jsonb;
        create type public.state as enum ('queued');
        alter table public.tracks alter column status type public.state using null;
    """,
    )
    before = snapshot(url)
    found = problems(url, tree)
    assert "public.tracks.user_id is bigint, which does not fit as uuid" in found
    assert "public.tracks.storage_audio_url is jsonb" in found
    assert "lacks the label completed: `alter type public.state add value 'completed'`" in found
    assert "`alter table public.tracks add primary key (id)`" in found
    assert snapshot(url) == before


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("create view public.tracks as select 1 as id", "the view public.tracks"),
        ("create materialized view public.tracks as select 1", "the materialized view"),
        ("create sequence public.tracks", "the sequence public.tracks"),
        ("create type public.tracks as enum ('a')", "the type public.tracks"),
        (
            "create table public.p (id uuid) partition by hash (id);"
            "create table public.tracks partition of public.p"
            " for values with (modulus 1, remainder 0)",
            "is a partition of another table",
        ),
        (
            "create table public.tracks (id uuid primary key) partition by hash (id)",
            "public.tracks is partitioned",
        ),
    ],
)
def test_something_else_in_the_place_of_the_table_stops_it(
    url: str, tree: Tree, statement: str, complaint: str
) -> None:
    run(url, statement)
    assert complaint in problems(url, tree)


def test_a_notifications_table_that_does_not_fit_is_left_alone(url: str, tree: Tree) -> None:
    run(
        url,
        "create table public.notifications"
        " (id bigint primary key, user_id uuid, kind text not null)",
    )
    tree.migrate(url)
    assert list(columns(url, "public.notifications")) == ["id", "user_id", "kind"]
    query = "select created_by_us, usable, problems from media_worker.application_tables"
    [(created, usable, found)] = rows(url, query + " where name = 'notifications'")
    assert (created, usable) == (False, False)
    assert "does not fit as uuid" in found[0]
    assert "public.notifications.kind must be given for every new row" in found[1]
    assert exists(url, "public.tracks")
    assert tree.migrator(url).check().up_to_date


def test_a_notifications_table_that_was_mended_is_used(url: str, tree: Tree) -> None:
    run(url, "create table public.notifications (id text primary key)")
    tree.migrate(url)
    run(url, "alter table public.notifications alter column id type uuid using null")
    tree.migrate(url)
    query = "select usable from media_worker.application_tables where name = 'notifications'"
    assert value(url, query) is True
    assert "read_at" in columns(url, "public.notifications")


def test_a_table_of_somebody_else_is_refused(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    team = login("createrole")
    run(url, TRACKS)
    run(
        url,
        f"grant all on schema public to {_user(team)}; grant create on database "
        f"{url.split('/')[3].split('?')[0]} to {_user(team)}",
    )
    found = problems(team, tree)
    assert "public.tracks belongs to postgres" in found
    assert "run migrate as postgres" in found


def test_the_owner_needs_not_be_a_superuser(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    team = _owner(url, login)
    run(team, TRACKS + "alter table public.tracks enable row level security;")
    tree.migrate(team)
    assert ADDED.items() <= columns(url, "public.tracks").items()


def test_forced_row_level_security_is_refused_with_the_remedy(
    url: str, tree: Tree, login: Callable[[str], str]
) -> None:
    team = _owner(url, login)
    run(
        team,
        TRACKS + "alter table public.tracks enable row level security;"
        "alter table public.tracks force row level security;",
    )
    assert "`alter table public.tracks no force row level security`" in problems(team, tree)
    run(team, "alter table public.tracks no force row level security")
    tree.migrate(team)


def test_a_table_is_declared_once(tree: Tree) -> None:
    tree.write("cdn/application_tables.toml", '[tracks]\ncomment = ""\ncolumns = []\n')
    with pytest.raises(ValueError, match="declared twice"):
        read_tables(sorted(tree.root.glob("*/*.toml")))


def test_a_key_of_two_columns_is_created_and_compared(url: str, tree: Tree) -> None:
    tree.write(
        "cdn/application_tables.toml",
        """
        [marks]
        comment = "Marks."
        constraints = ["primary key (track, mark)"]
        columns = [
            { name = "track", type = "uuid", comment = "" },
            { name = "mark", type = "text", comment = "" },
        ]
    """,
    )
    tree.migrate(url)
    assert Migrator(url, sql_root=tree.root).check().up_to_date
    run(url, "alter table public.marks drop constraint marks_pkey, add primary key (mark, track)")
    assert "is mark, track, (track, mark) is needed" in problems(url, tree)


def _owner(url: str, login: Callable[[str], str]) -> str:
    """A login that owns the database and may create roles, but is no superuser."""
    team = login("createrole")
    run(
        url,
        f"alter database {url.split('/')[3].split('?')[0]} owner to {_user(team)};"
        f"grant all on schema public to {_user(team)}",
    )
    return team


def _user(url: str) -> str:
    return url.split("//")[1].split("@")[0]
