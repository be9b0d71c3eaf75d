"""What earlier runs of `migrate` have recorded in the database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, LiteralString

from psycopg import Connection, sql

from worker.db.sqlfiles import SqlFile


@dataclass(frozen=True)
class DefinedObject:
    """A function, view or trigger that a repeatable file defined, or a table of the migrations."""

    kind: str
    identity: str

    @property
    def name(self) -> str:
        """Without schema, arguments and quotes."""
        return self.identity.split("(")[0].split(".")[-1].strip('"')


@dataclass(frozen=True)
class Records:
    """The checksums of what was applied, the objects that are ours, the tables that we use."""

    installed: bool = False
    checksums: dict[tuple[str, str], str] | None = None
    objects: tuple[DefinedObject, ...] = ()
    lost_objects: bool = False
    tables: dict[str, tuple[bool, bool, list[str]]] | None = None
    kept_tables: tuple[str, ...] = ()

    @classmethod
    def read(cls, connection: Connection[Any]) -> Records:
        """Read them all; of a database without them, the empty ones."""
        if not is_installed(connection):
            return cls()
        return cls(
            installed=True,
            checksums=_checksums(connection),
            objects=_objects(connection),
            lost_objects=_has_lost_objects(connection),
            tables=_tables(connection),
            kept_tables=_kept_tables(connection),
        )

    def sha256(self, kind: str, name: str) -> str | None:
        return (self.checksums or {}).get((kind, name))

    def names(self, kind: str) -> list[str]:
        """The recorded names of one kind, in order."""
        return sorted(name for found, name in (self.checksums or {}) if found == kind)

    def names_of_objects(self, kind: str) -> set[str]:
        return {found.name for found in self.objects if found.kind == kind}


def is_installed(connection: Connection[Any]) -> bool:
    """Whether Media Worker has been here before."""
    found = connection.execute(
        "select c.oid from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'media_worker' and c.relname = 'migrations'"
        " and exists (select from pg_catalog.pg_attribute a"
        "     where a.attrelid = c.oid and a.attname = 'sha256')"
    )
    return found.fetchone() is not None


def record(kind: str, file: SqlFile) -> str:
    """The statement that records a file as applied."""
    return filled(
        "insert into media_worker.migrations (kind, name, sha256, release)"
        " values ({}, {}, {}, {}) on conflict (kind, name) do update"
        " set sha256 = excluded.sha256, release = excluded.release, applied_at = now();",
        kind,
        file.name,
        file.sha256,
        release(),
    )


def release() -> str:
    """This program's version; `0` where it runs without being installed."""
    try:
        return metadata.version("media-worker")
    except metadata.PackageNotFoundError:
        return "0"


def release_number(version: str) -> tuple[int, ...]:
    """A version as numbers that compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def filled(statement: LiteralString, *values: object) -> str:
    """A statement with literals in the places of `{}`."""
    return sql.SQL(statement).format(*(sql.Literal(value) for value in values)).as_string()


def quoted(*names: str) -> str:
    """A qualified name, quoted where it must be."""
    return ".".join(
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else sql.Identifier(name).as_string()
        for name in names
    )


def texts(values: Iterable[str]) -> str:
    """A `text[]` literal."""
    return "array[" + ", ".join(sql.Literal(value).as_string() for value in values) + "]::text[]"


def _checksums(connection: Connection[Any]) -> dict[tuple[str, str], str]:
    rows = connection.execute("select kind, name, sha256 from media_worker.migrations")
    return {(kind, name): sha256 for kind, name, sha256 in rows}


def _objects(connection: Connection[Any]) -> tuple[DefinedObject, ...]:
    rows = connection.execute("select kind, identity from media_worker.defined_objects")
    return tuple(DefinedObject(kind, identity) for kind, identity in rows)


def _has_lost_objects(connection: Connection[Any]) -> bool:
    lost = connection.execute(
        "select identity from media_worker.defined_objects where case kind"
        "    when 'function' then pg_catalog.to_regprocedure(identity) is null"
        "    when 'view' then pg_catalog.to_regclass(identity) is null"
        "    when 'trigger' then not exists (select from pg_catalog.pg_trigger t"
        "        where t.tgrelid = pg_catalog.to_regclass(relation)"
        "        and pg_catalog.quote_ident(t.tgname) = identity)"
        "    else false"
        " end limit 1"
    )
    return lost.fetchone() is not None


def _tables(connection: Connection[Any]) -> dict[str, tuple[bool, bool, list[str]]]:
    rows = connection.execute(
        "select name, created_by_us, usable, problems from media_worker.application_tables"
    )
    return {name: (created, usable, problems) for name, created, usable, problems in rows}


def _kept_tables(connection: Connection[Any]) -> tuple[str, ...]:
    rows = connection.execute(
        "select distinct name from media_worker.classic_objects where kind = 'table'"
    )
    return tuple(name for (name,) in rows)
