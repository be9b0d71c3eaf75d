"""What is in the way of our names: a classic installation is taken over, anything else stops us.

Functions and views of our names are a classic installation's, and so are the triggers that call
them: their definitions are kept, then ours take their place. Its two job tables are renamed, and
their open rows are taken over by a function of the archive's and the cleanup's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from worker.db.catalog import RELATION_KINDS
from worker.db.classic import (
    RENAMED_TABLES,
    ClassicObject,
    classic_functions,
    classic_name,
    classic_triggers,
    classic_views,
    foreign_dependents,
    renaming,
    table_parts,
)
from worker.db.plan import Step
from worker.db.records import Records, filled, quoted, record
from worker.db.repeatable import definitions
from worker.db.sqlfiles import SqlFile
from worker.db.statements import Created, created

KIND = "takeover"
HOOK = "take_over_classic_jobs"


@dataclass(frozen=True)
class Takeover:
    """`steps` come before the migrations, `later` after the repeatable files."""

    steps: tuple[Step, ...]
    later: tuple[Step, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Names:
    """The names in `public` that are about to become ours."""

    tables: frozenset[str]
    others: frozenset[str]  # types, sequences, indexes
    functions: frozenset[str]
    views: frozenset[str]


def takeover(
    connection: Connection[Any],
    *,
    pending: Iterable[SqlFile],
    repeatable: tuple[SqlFile, ...],
    records: Records,
    adopted: Iterable[str] = (),
) -> Takeover:
    """Find what has a name that we are about to create; reads only.

    `adopted` are names of application tables, for which `adoption` speaks.
    """
    names = _names(pending, repeatable, records)
    renamed = _renamed(connection, names)
    classic = _classic_objects(connection, names, renamed, records)
    problems = [
        *_conflicts(connection, names, renamed, frozenset(adopted)),
        *(problem for found in classic for problem in _object_problems(found)),
        *foreign_dependents(connection, classic),
    ]
    steps = _steps(connection, classic, renamed)
    later = _hook_steps({*renamed, *records.kept_tables}, repeatable, records)
    return Takeover(steps, later, tuple(problems))


def _names(pending: Iterable[SqlFile], repeatable: tuple[SqlFile, ...], records: Records) -> Names:
    # What goes without a transaction may be there already, from a run that was cut off.
    planned = [found for file in pending if file.transactional for found in created(file.text)]
    defined = definitions(repeatable)
    kinds = {found.kind for found in planned} - {"table", "function", "view", "trigger"}
    return Names(
        tables=_public(planned, {"table"}),
        others=_public(planned, kinds),
        functions=_public(defined, {"function"}) - records.names_of_objects("function"),
        views=_public(defined, {"view"}) - records.names_of_objects("view"),
    )


def _public(found: Iterable[Created], kinds: set[str]) -> frozenset[str]:
    return frozenset(one.name for one in found if one.schema == "public" and one.kind in kinds)


def _renamed(connection: Connection[Any], names: Names) -> list[str]:
    rows = connection.execute(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p') and relname = any (%s) order by 1",
        [sorted(names.tables & RENAMED_TABLES)],
    )
    return [name for (name,) in rows]


def _classic_objects(
    connection: Connection[Any], names: Names, renamed: list[str], records: Records
) -> list[ClassicObject]:
    ours = records.names_of_objects("function")
    found = classic_functions(connection, names.functions, mentioning=renamed)
    functions = [function for function in found if function.name not in ours]
    return [
        *classic_triggers(connection, functions),
        *classic_views(connection, names.views),
        *functions,
    ]


def _conflicts(
    connection: Connection[Any], names: Names, renamed: list[str], adopted: frozenset[str]
) -> Iterator[str]:
    rows = connection.execute(
        "select relname::text, relkind::text, pg_has_role(relowner, 'usage')"
        " from pg_class where relnamespace = 'public'::regnamespace and relname = any (%s)"
        " union all select typname::text, 'c', true from pg_type"
        " where typnamespace = 'public'::regnamespace and typrelid = 0 and typelem = 0"
        " and typname = any (%s) order by 1",
        [
            sorted(names.tables | names.others | names.views | {*map(classic_name, renamed)}),
            sorted(names.tables | names.others | names.views | adopted),
        ],
    )
    parts = {name for table in renamed for _, name in table_parts(connection, table)}
    for name, kind, is_owned in rows:
        is_taken_over = name in renamed or name in parts or (kind == "v" and name in names.views)
        if not is_taken_over:
            yield _in_the_way(RELATION_KINDS.get(kind, "object"), name)
        elif not is_owned:
            yield f"{quoted('public', name)} belongs to another role: run migrate as its owner"


def _in_the_way(kind: str, name: str) -> str:
    place = quoted("public", name)
    return (
        f"the {kind} {place} is not Media Worker's, and its name is needed: rename it "
        f"(`alter {kind} {place} rename to …`) or drop it"
    )


def _object_problems(found: ClassicObject) -> Iterator[str]:
    if not found.is_replaceable:
        yield _in_the_way(found.kind, found.name)
    elif not found.is_owned:
        yield f"the {found.kind} {found.identity} belongs to another role: run migrate as its owner"


def _steps(
    connection: Connection[Any], classic: list[ClassicObject], renamed: list[str]
) -> tuple[Step, ...]:
    if not classic and not renamed:
        return ()
    parts = [statement for found in classic for statement in (found.keep, found.drop)]
    for name in renamed:
        parts.extend(renaming(connection, name))
        parts.append(
            filled(
                "insert into media_worker.classic_objects (kind, name, definition)"
                " values ('table', {}, {});",
                name,
                f"renamed to {classic_name(name)}",
            )
        )
    return (Step(KIND, "classic installation", "\n".join(parts)),)


def _hook_steps(
    kept: set[str], repeatable: tuple[SqlFile, ...], records: Records
) -> tuple[Step, ...]:
    defined = {(found.schema, found.name) for found in definitions(repeatable)}
    waiting = sorted(name for name in kept if records.sha256(KIND, name) is None)
    if not waiting or ("media_worker", HOOK) not in defined:
        return ()
    done = [record(KIND, SqlFile(name, "")) for name in waiting]
    sql = "\n".join([f"do $hook$ begin perform media_worker.{HOOK}(); end $hook$;", *done])
    return (Step(KIND, f"open rows of {', '.join(waiting)}", sql),)
