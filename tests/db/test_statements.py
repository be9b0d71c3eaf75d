"""Where a statement ends, and what it creates."""

from __future__ import annotations

import pytest

from worker.db.statements import Created, created, is_concurrent_index, split


@pytest.mark.parametrize(
    "statement",
    [
        "select 'a;b', 'it''s;'",
        r"select e'\';'",
        'select 1 as "a;b"',
        "do $$ begin perform 1; end $$",
        "do $body$ select $$;$$; $body$",
        "select 1 /* ; */ + 1",
        "select 1 -- ;\n + 1",
        "create function f() returns int"
        " begin atomic select case when true then 1 end; select 2; end",
        "select $1",
    ],
)
def test_a_semicolon_inside_something_ends_nothing(statement: str) -> None:
    assert split(f"{statement};\nselect 2;") == [statement, "select 2"]


def test_comments_around_statements_and_empty_ones_vanish() -> None:
    assert split("-- one\n/* two */ select 1;;\n-- end\n") == ["select 1"]


def test_what_is_only_spoken_of_is_not_created() -> None:
    text = "-- create table public.a ();\nselect 'create table public.b ()';"
    text += "do $$ create view public.c $$"
    assert created(text) == ()


@pytest.mark.parametrize(
    ("statement", "kind", "schema", "name"),
    [
        ("CREATE TABLE IF NOT EXISTS public.a (id int)", "table", "public", "a"),
        ("create or replace function Public.Shout(a int)", "function", "public", "shout"),
        ("create procedure public.p()", "function", "public", "p"),
        ('create view "public"."My" as select 1', "view", "public", "My"),
        ("create or replace trigger zz_t after insert on public.a", "trigger", "", "zz_t"),
        ("create unique index i on only public.a (id)", "index", "public", "i"),
        ("create index concurrently if not exists i on public.a (id)", "index", "public", "i"),
        ("create domain public.d as text", "type", "public", "d"),
        ("create sequence media_worker.s", "sequence", "media_worker", "s"),
    ],
)
def test_created_objects_are_named(statement: str, kind: str, schema: str, name: str) -> None:
    assert created(statement) == (Created(kind, schema, name),)


def test_concurrent_indexes_are_known() -> None:
    assert is_concurrent_index("create unique index concurrently i on t (a)")
    assert not is_concurrent_index("create index i on t (concurrently)")
