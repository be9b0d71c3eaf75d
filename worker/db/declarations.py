"""The application's tables as Media Worker needs them: `sql/*/application_tables.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Column:
    """`definition` follows the type when we create the table, `added` when we add the column.

    `labels` are what the column must be able to hold where it is an enum.
    """

    name: str
    type: str
    comment: str
    definition: str = ""
    added: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unique:
    """Rows that must not have the same values in these columns, those without `while_null` only."""

    columns: tuple[str, ...]
    while_null: str | None = None


@dataclass(frozen=True)
class Table:
    """`required`: without it nothing can work. `inserted`: we write new rows into it.

    `constraints` are clauses of `create table` that concern several columns. `unique` is what rows
    that are there already must fulfil, since an index will ask for it.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    required: bool = True
    inserted: bool = False
    constraints: tuple[str, ...] = ()
    unique: tuple[Unique, ...] = ()

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key, in order."""
        for constraint in self.constraints:
            if found := re.match(r"primary key \((.+)\)$", constraint):
                return tuple(name.strip() for name in found[1].split(","))
        return tuple(column.name for column in self.columns if "primary key" in column.definition)


def read_tables(paths: Iterable[Path]) -> tuple[Table, ...]:
    """All declared tables, in the order of their files.

    Raises `ValueError` where two files declare the same table.
    """
    tables = [table for path in paths for table in _tables(path)]
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise ValueError(f"an application table is declared twice: {', '.join(sorted(names))}")
    return tuple(tables)


def _tables(path: Path) -> list[Table]:
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    return [_table(name, values) for name, values in declared.items()]


def _table(name: str, values: dict[str, Any]) -> Table:
    columns = tuple(_column(column) for column in values.pop("columns"))
    constraints = tuple(values.pop("constraints", ()))
    unique = tuple(_unique(rule) for rule in values.pop("unique", ()))
    return Table(name=name, columns=columns, constraints=constraints, unique=unique, **values)


def _unique(values: dict[str, Any]) -> Unique:
    return Unique(tuple(values["columns"]), values.get("while_null"))


def _column(values: dict[str, Any]) -> Column:
    return Column(labels=tuple(values.pop("labels", ())), **values)
