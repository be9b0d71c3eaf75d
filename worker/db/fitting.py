"""Whether a table that is there already can serve: every problem comes with its remedy."""

from __future__ import annotations

from collections.abc import Iterator

from worker.db.catalog import RELATION_KINDS, ExistingColumn, ExistingTable
from worker.db.declarations import Column, Table
from worker.db.records import quoted

INTEGERS = frozenset({"int2", "int4", "int8"})
NUMBERS = frozenset({"numeric", "float4", "float8"})
FAMILIES = {
    "text": frozenset({"text", "varchar", "bpchar", "citext", "name"}),
    "timestamptz": frozenset({"timestamptz", "timestamp"}),
    "integer": INTEGERS,
    "bigint": INTEGERS,
    "numeric": NUMBERS | INTEGERS,
    "double precision": NUMBERS | INTEGERS,
    "boolean": frozenset({"bool"}),
    "jsonb": frozenset({"jsonb", "json"}),
}


def problems_of(table: Table, existing: ExistingTable) -> list[str]:
    """What keeps Media Worker from using `existing` as `table`; empty where it fits."""
    place = quoted("public", table.name)
    if existing.kind not in ("r", "p"):
        kind = RELATION_KINDS.get(existing.kind, "object")
        return [f"the {kind} {place} is in the place of a table: rename it"]
    if existing.kind == "p" and table.required:
        return [f"{place} is partitioned, which is not supported: use a table of its own"]
    if existing.is_child:
        return [f"{place} is a partition of another table: use a table of its own, or the parent"]
    return [
        *_access_problems(place, existing),
        *_key_problems(place, table, existing),
        *_column_problems(place, table, existing),
    ]


def _access_problems(place: str, existing: ExistingTable) -> Iterator[str]:
    if not existing.is_owned:
        yield (
            f"{place} belongs to {existing.owner}, so that {existing.user} can add neither columns "
            f"nor triggers: run migrate as {existing.owner}, or "
            f"`grant {quoted(existing.owner)} to {quoted(existing.user)}`"
        )
    elif existing.is_blinding:
        remedy = f"`alter table {place} no force row level security`, or " * existing.is_forced
        yield (
            f"row-level security on {place} hides rows from {existing.user}: {remedy}"
            "run migrate as a role with BYPASSRLS"
        )


def _key_problems(place: str, table: Table, existing: ExistingTable) -> Iterator[str]:
    if table.primary_key and tuple(existing.primary_key) != table.primary_key:
        key = ", ".join(quoted(name) for name in table.primary_key)
        found = ", ".join(existing.primary_key) or "missing"
        yield (
            f"the primary key of {place} is {found}, ({key}) is needed: "
            f"`alter table {place} add primary key ({key})`"
        )


def _column_problems(place: str, table: Table, existing: ExistingTable) -> Iterator[str]:
    for column in table.columns:
        found = existing.columns.get(column.name)
        if found:
            yield from _type_problems(place, column, found, inserted=table.inserted)
    if table.inserted:
        declared = {column.name for column in table.columns}
        for name, found in existing.columns.items():
            if found.must_be_given and name not in declared:
                yield (
                    f"{place}.{quoted(name)} must be given for every new row: "
                    f"`alter table {place} alter column {quoted(name)} drop not null`, "
                    "or set a default"
                )


def _type_problems(
    place: str, column: Column, found: ExistingColumn, *, inserted: bool
) -> Iterator[str]:
    where = f"{place}.{quoted(column.name)}"
    if found.labels is not None and column.type == "text":
        missing = [label for label in column.labels if label not in found.labels]
        for label in missing:
            yield f"the enum {found.shown} of {where} lacks the label {label}: " + (
                f"`alter type {found.shown} add value '{label}'`"
            )
        if inserted and not column.labels:
            yield f"{where} is the enum {found.shown}, no free text: {_change(place, column)}"
    elif found.base not in _family(column.type):
        yield (
            f"{where} is {found.shown}, which does not fit as {column.type}: "
            f"{_change(place, column)}"
        )
    elif inserted and found.generated:
        yield f"{where} is generated, so that no value can be given: {_change(place, column)}"


def _change(place: str, column: Column) -> str:
    name = quoted(column.name)
    return f"`alter table {place} alter column {name} type {column.type}`, or rename the column"


def _family(declared: str) -> frozenset[str]:
    if declared.endswith("[]"):
        return frozenset(f"{member}[]" for member in _family(declared.removesuffix("[]")))
    return FAMILIES.get(declared, frozenset({declared}))
