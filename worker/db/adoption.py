"""The application's own tables: created where they are absent, completed where they fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from worker.db.catalog import ExistingTable, existing_table
from worker.db.declarations import Column, Table
from worker.db.duplicates import duplicates
from worker.db.fitting import problems_of
from worker.db.plan import Step
from worker.db.records import Records, filled, quoted, texts

KIND = "table"


@dataclass(frozen=True)
class Adoption:
    """What becomes of the declared tables: `problems` stop everything."""

    steps: tuple[Step, ...]
    problems: tuple[str, ...]


def adoption(connection: Connection[Any], tables: Iterable[Table], records: Records) -> Adoption:
    """Compare the declared tables with those that are there; reads only."""
    steps: list[Step] = []
    problems: list[str] = []
    for table in tables:
        existing = existing_table(connection, table.name)
        found = problems_of(table, existing) if existing else []
        if existing and not found and table.name not in (records.tables or {}):
            found = list(duplicates(connection, table, existing))
        if found and table.required:
            problems.extend(found)
        else:
            steps.extend(_steps(table, existing, found, records))
    return Adoption(tuple(steps), tuple(problems))


def _steps(
    table: Table, existing: ExistingTable | None, problems: list[str], records: Records
) -> list[Step]:
    recorded = (records.tables or {}).get(table.name)
    created_by_us = existing is None or (recorded is not None and recorded[0])
    parts = _changes(table, existing) if not problems else []
    if not parts and recorded == (created_by_us, not problems, problems):
        return []
    parts.append(_record(table.name, created_by_us=created_by_us, problems=problems))
    return [Step(KIND, f"public.{table.name}", "\n".join(parts))]


def _changes(table: Table, existing: ExistingTable | None) -> list[str]:
    if existing is None:
        return _creation(table)
    missing = [column for column in table.columns if column.name not in existing.columns]
    if not missing:
        return []
    additions = [
        f"add column if not exists {_definition(column, column.added)}" for column in missing
    ]
    return [
        f"alter table {quoted('public', table.name)}\n    " + ",\n    ".join(additions) + ";",
        *(_comment(table, column) for column in missing),
    ]


def _creation(table: Table) -> list[str]:
    name = quoted("public", table.name)
    lines = [_definition(column, column.definition) for column in table.columns]
    lines.extend(table.constraints)
    return [
        f"create table {name} (\n    " + ",\n    ".join(lines) + "\n);",
        f"alter table {name} enable row level security;",
        f"comment on table {name} is {filled('{}', table.comment)};",
        *(_comment(table, column) for column in table.columns),
    ]


def _definition(column: Column, suffix: str) -> str:
    return f"{quoted(column.name)} {column.type} {suffix}".rstrip()


def _comment(table: Table, column: Column) -> str:
    place = quoted("public", table.name, column.name)
    return f"comment on column {place} is {filled('{}', column.comment)};"


def _record(name: str, *, created_by_us: bool, problems: list[str]) -> str:
    row = filled("{}, {}, {}", name, created_by_us, not problems)
    return (
        "insert into media_worker.application_tables (name, created_by_us, usable, problems)\n"
        f"values ({row}, {texts(problems)})\n"
        "on conflict (name) do update set created_by_us = excluded.created_by_us,\n"
        "    usable = excluded.usable, problems = excluded.problems;"
    )
