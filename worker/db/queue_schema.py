"""procrastinate's own schema: installed once, upgraded by its own migrations, recorded by us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection

from worker.db.plan import Step
from worker.db.records import Records, record
from worker.db.sqlfiles import SqlFile, procrastinate_migrations, procrastinate_schema

KIND = "procrastinate"

# Its functions name its tables without a schema, and every upgrade replaces some of them.
FIX_SEARCH_PATH = """
do $fix$
declare
    found record;
begin
    for found in
        select p.oid::pg_catalog.regprocedure::text as signature
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'procrastinate'::pg_catalog.regnamespace and p.prokind = 'f'
    loop
        execute pg_catalog.format(
            'alter function %s set search_path = procrastinate, pg_temp', found.signature
        );
    end loop;
end
$fix$;
"""


def queue_steps(connection: Connection[Any], records: Records) -> list[Step]:
    """What brings procrastinate's schema to the version that is installed as a package."""
    migrations = procrastinate_migrations()
    version = recorded_version(records)
    if version is None:
        return [_step("schema", procrastinate_schema().text, recorded=migrations[-1])]
    newer = [file for file in migrations if file.name > version]
    if newer:
        return [_step(file.name, file.text, recorded=file) for file in newer]
    return list(_search_path_steps(connection))


def recorded_version(records: Records) -> str | None:
    """The name of the last of procrastinate's migrations that the database has."""
    return max(records.names(KIND), default=None)


def _step(name: str, text: str, *, recorded: SqlFile) -> Step:
    parts = [
        "create schema if not exists procrastinate;",
        "set local search_path = procrastinate, pg_temp;",
        text,
        ";",
        "set local search_path = '';",
        FIX_SEARCH_PATH,
        record(KIND, recorded),
    ]
    return Step(KIND, name, "\n".join(parts))


def _search_path_steps(connection: Connection[Any]) -> Iterator[Step]:
    unfixed = connection.execute(
        "select p.oid from pg_catalog.pg_proc p"
        " join pg_catalog.pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = 'procrastinate' and p.prokind = 'f' and not exists ("
        "    select from pg_catalog.unnest(p.proconfig) as setting"
        "    where setting like 'search_path=%') limit 1"
    )
    if unfixed.fetchone():
        yield Step(KIND, "search path", FIX_SEARCH_PATH)
