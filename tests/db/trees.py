"""Small trees of SQL files, and looks into a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from worker.db.migrator import Migrator
from worker.db.plan import Plan

WORK = "create table public.work (id uuid primary key, name text not null default '');\n"
SHOUT = (
    "create or replace function public.shout(word text) returns text\n"
    "language sql set search_path = '' as $$ select upper(word) $$;\n"
)
WORDS_VIEW = "create or replace view public.words as select id, name from public.work;\n"


class Tree:
    """A directory of SQL files, as the migrator reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "migrations").mkdir(parents=True)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        (self.root / name).unlink()

    def migrator(self, url: str) -> Migrator:
        return Migrator(url, sql_root=self.root)

    def migrate(self, url: str) -> Plan:
        return self.migrator(url).apply()


def run(url: str, statement: str) -> None:
    """Run SQL text as it is."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def rows(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), values or None).fetchall()


def value(url: str, query: str, *values: object) -> Any:
    """The only value of the only row."""
    [[found]] = rows(url, query, *values)
    return found


def exists(url: str, relation: str) -> bool:
    return value(url, "select to_regclass(%s) is not null", relation)


def has_function(url: str, signature: str) -> bool:
    return value(url, "select to_regprocedure(%s) is not null", signature)


def snapshot(url: str) -> list[tuple[Any, ...]]:
    """All that somebody has made in the database, as a list that compares."""
    return rows(
        url,
        """
        select 'relation', n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all
        select 'column', c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), ''
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and a.attnum > 0
        union all
        select 'function', n.nspname::text, p.oid::regprocedure::text, p.prosrc, ''
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        union all
        select 'trigger', tgrelid::regclass::text, tgname::text, '', '' from pg_trigger
        union all
        select 'schema', nspname::text, '', '', '' from pg_namespace where nspname !~ '^pg_'
        order by 1, 2, 3, 4
        """,
    )
