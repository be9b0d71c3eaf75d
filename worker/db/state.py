"""Whether the database is the one that this program was written for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from worker.db.queue_schema import KIND as PROCRASTINATE
from worker.db.records import release, release_number
from worker.db.repeatable import is_changed
from worker.db.sqlfiles import SqlFiles, procrastinate_migrations, sql_root

SchemaState = Literal["current", "old", "missing", "newer"]


async def schema_state(
    connection: AsyncConnection[Any], *, root: Path | None = None
) -> SchemaState:
    """Compare what is recorded in the database with the shipped files.

    `old`: `media-worker migrate` mends it. `newer`: a later release has migrated the database.
    """
    if not await _is_installed(connection):
        return "missing"
    cursor = connection.cursor(row_factory=tuple_row)
    await cursor.execute("select kind, name, sha256, release from media_worker.migrations")
    rows = await cursor.fetchall()
    checksums = {(kind, name): sha256 for kind, name, sha256, _ in rows}
    latest = max((release_number(row[3]) for row in rows), default=())
    files = SqlFiles(root or sql_root())
    if latest > release_number(release()) or _unknown(files, checksums):
        return "newer"
    return "current" if _is_current(files, checksums) else "old"


async def _is_installed(connection: AsyncConnection[Any]) -> bool:
    # Not to_regclass, which raises where the login may not use the schema.
    found = await connection.execute(
        "select c.oid from pg_catalog.pg_class c"
        " join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'media_worker' and c.relname = 'migrations'"
    )
    return await found.fetchone() is not None


def _unknown(files: SqlFiles, checksums: dict[tuple[str, str], str]) -> bool:
    shipped = {("migration", file.name) for file in files.migrations}
    newest = procrastinate_migrations()[-1].name
    return any(
        (kind == "migration" and (kind, name) not in shipped)
        or (kind == PROCRASTINATE and name > newest)
        for kind, name in checksums
    )


def _is_current(files: SqlFiles, checksums: dict[tuple[str, str], str]) -> bool:
    migrations = {("migration", file.name): file.sha256 for file in files.migrations}
    return (
        migrations.items() <= checksums.items()
        and (PROCRASTINATE, procrastinate_migrations()[-1].name) in checksums
        and not is_changed(files.repeatable, checksums)
    )
