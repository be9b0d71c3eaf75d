"""Fresh databases on one server, most of them cloned from a migrated template."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed
from pytest_postgresql.janitor import DatabaseJanitor


@dataclass(frozen=True)
class PostgresServer:
    """A server for tests; `url` is a superuser's.

    `embedded` is the `EmbeddedPostgres` behind it, to restart or crash it, or None where
    TEST_DATABASE_URL named the server.
    """

    url: str
    embedded: Any = None

    def database_url(self, name: str) -> str:
        """The superuser's URL of another database of this server."""
        return changed_url(self.url, dbname=name)

    @contextmanager
    def fresh_database(self, *, template: str | None = None) -> Iterator[str]:
        """The URL of a new database, which is dropped afterwards, whoever is connected."""
        name = unique_name("test")
        with self._janitor(name, template=template):
            yield self.database_url(name)

    @contextmanager
    def migrated_template(self) -> Iterator[str]:
        """The name of a template database to which all migrations were applied."""
        name = unique_name("template")
        with self._janitor(name):
            migrate(self.database_url(name))
            yield name

    def _janitor(self, name: str, *, template: str | None = None) -> DatabaseJanitor:
        parts = conninfo_to_dict(self.url)
        return _QuickJanitor(
            user=str(parts["user"]),
            password=parts.get("password"),  # type: ignore[arg-type]
            host=str(parts.get("host", "")),
            port=int(parts.get("port") or 5432),
            maintenance_dbname=str(parts.get("dbname") or "postgres"),
            dbname=name,
            template_dbname=template,
        )


class _QuickJanitor(DatabaseJanitor):
    """Copies the template's files, in half the time that copying it through the WAL takes."""

    def _build_create_database_sql(self) -> Composed:
        return super()._build_create_database_sql() + SQL(" STRATEGY file_copy")


def changed_url(url: str, **changes: str | int) -> str:
    """The URL (or connection string) `url` with other parts, always in the URL's form."""
    parts = {**conninfo_to_dict(url), **changes}
    name, user = parts.pop("dbname", ""), parts.pop("user", "")
    return f"postgresql://{quote(str(user))}@/{quote(str(name))}?{urlencode(parts, safe='/')}"


def migrate(url: str) -> None:
    """Apply all migrations."""
    from worker.db.migrator import Migrator

    applied = Migrator(url).apply()
    if inspect.isawaitable(applied):
        asyncio.run(_finish(applied))


def unique_name(prefix: str) -> str:
    """A name that no other test run on the same server uses."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


async def _finish(awaitable: Any) -> None:
    await awaitable
