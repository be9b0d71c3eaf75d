"""Rows that are there already and that a unique index would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection

from worker.db.catalog import ExistingTable
from worker.db.declarations import Table, Unique
from worker.db.records import quoted


def duplicates(connection: Connection[Any], table: Table, existing: ExistingTable) -> Iterator[str]:
    """A problem for each rule that rows break, with a query that lists them; reads the table."""
    for rule in table.unique:
        # a column that is still to be added will be the same in all rows
        columns = [name for name in rule.columns if name in existing.columns]
        if rule.columns[0] not in columns:
            continue
        query = _query(quoted("public", table.name), columns, rule, existing)
        if number := connection.execute(query.encode()).rowcount:
            yield (
                f"rows of public.{table.name} have the same {', '.join(columns)} ({number} cases):"
                f" keep one of each; `{query}` lists them"
            )


def _query(place: str, columns: list[str], rule: Unique, existing: ExistingTable) -> str:
    names = [quoted(name) for name in columns]
    conditions = [f"{name} is not null" for name in names]
    if rule.while_null in existing.columns:
        conditions.append(f"{quoted(rule.while_null)} is null")
    listed = ", ".join(names)
    return (
        f"select {listed} from {place} where {' and '.join(conditions)}"  # noqa: S608
        f" group by {listed} having count(*) > 1"
    )
