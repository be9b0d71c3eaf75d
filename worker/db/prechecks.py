"""What must be true of the server, the login and the schemas before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection

from worker.db.queue_schema import recorded_version
from worker.db.records import Records, quoted
from worker.db.sqlfiles import SqlFiles, procrastinate_migrations

OLDEST_SERVER = 150000
ROLE = "media_worker"


def surroundings(connection: Connection[Any], records: Records) -> Iterator[str]:
    """Problems with the server, the privileges of the login, and the schemas."""
    yield from _server(connection)
    yield from _role(connection)
    yield from _privileges(connection)
    yield from _foreign_schemas(connection, records)


def history(files: SqlFiles, records: Records) -> Iterator[str]:
    """Migrations that were changed after they were applied, or that this release lacks."""
    known = {file.name for file in files.migrations}
    for file in files.migrations:
        applied = records.sha256("migration", file.name)
        if applied not in (None, file.sha256):
            yield (
                f"migration {file.name} was changed after it was applied: restore the file, "
                "and write a new migration instead"
            )
    version = recorded_version(records) or ""
    for name in [name for name in records.names("migration") if name not in known]:
        yield f"the database has migration {name}, which this release does not know: {_UPDATE}"
    if version > procrastinate_migrations()[-1].name:
        yield f"the database has a newer procrastinate schema ({version}): {_UPDATE}"


_UPDATE = "install the release of media-worker that migrated it, or a later one"


def _server(connection: Connection[Any]) -> Iterator[str]:
    if connection.info.server_version < OLDEST_SERVER:
        yield "PostgreSQL 15 or later is needed: upgrade the server"
    row = connection.execute("select pg_catalog.pg_is_in_recovery()").fetchone()
    if row and row[0]:
        yield "this server is a read-only replica: set DATABASE_URL to the primary"


def _role(connection: Connection[Any]) -> Iterator[str]:
    row = connection.execute(
        "select exists (select from pg_catalog.pg_roles where rolname = %s),"
        " (select rolcreaterole or rolsuper from pg_catalog.pg_roles"
        "  where rolname = current_user)",
        [ROLE],
    ).fetchone()
    if row and not row[0] and not row[1]:
        yield (
            f"the role {ROLE} is missing and this login may not create it: "
            f"have an administrator run `create role {ROLE} nologin`"
        )


def _privileges(connection: Connection[Any]) -> Iterator[str]:
    rows = connection.execute(
        "select n.name, ns.oid is not null, case when ns.oid is null"
        "   then has_database_privilege(current_database(), 'create')"
        "   else has_schema_privilege(ns.oid, 'create') and has_schema_privilege(ns.oid, 'usage')"
        " end, current_user, current_database()"
        " from unnest(array['public', 'media_worker', 'procrastinate']) as n (name)"
        " left join pg_namespace ns on ns.nspname = n.name"
    )
    for schema, exists, allowed, user, database in rows:
        if not exists and schema == "public":
            yield "the schema public is missing: `create schema public`"
        elif not allowed:
            place = f"schema {schema}" if exists else f"database {quoted(database)}"
            yield (
                f"{user} may not create objects in the {place}: run migrate as the owner, "
                f"or `grant create on {place} to {quoted(user)}`"
            )


def _foreign_schemas(connection: Connection[Any], records: Records) -> Iterator[str]:
    rows = connection.execute(
        "select n.nspname, pg_get_userbyid(n.nspowner), pg_has_role(n.nspowner, 'usage'),"
        " exists (select from pg_depend d where d.refclassid = 'pg_namespace'::regclass"
        "         and d.refobjid = n.oid)"
        " from pg_namespace n where n.nspname in ('media_worker', 'procrastinate')"
    )
    for schema, owner, is_ours, filled in rows:
        known = records.installed if schema == ROLE else recorded_version(records) is not None
        if filled and not known:
            yield (
                f"the schema {schema} has objects that are not Media Worker's: move it out of "
                f"the way (`alter schema {schema} rename to {schema}_other`)"
            )
        elif known and not is_ours:
            yield f"the schema {schema} belongs to {owner}: run migrate as {owner}"
