"""A media library: rows, a Cloudinary account, notifications, and workers between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.db.pool import Database
from worker.demo.cloudinary import LocalCloudinary, Notification
from worker.sync.webhooks import Inbox, receive

Row = dict[str, Any]


@dataclass
class Site:
    """What a test of the mirror works with."""

    url: str
    connection: psycopg.Connection[Row]
    env: dict[str, str]
    cloudinary: LocalCloudinary
    start: Callable[..., RunningProcess]
    command: Callable[..., RunningProcess]
    warnings: list[str] = field(default_factory=list)

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """A warning is a trigger that could not do its work."""
        if notice.severity_nonlocalized == "WARNING":
            self.warnings.append(str(notice.message_primary))

    def row(self, public_id: str) -> Row:
        """The live row of an asset."""
        (found,) = self.sql(
            "select * from media_assets where public_id = %s and deleted_at is null", public_id
        )
        return found

    def rows(self) -> dict[str, Row]:
        """All live rows."""
        found = self.sql("select * from media_assets where deleted_at is null")
        return {row["public_id"]: row for row in found}

    def log(self, public_id: str | None = None) -> list[Row]:
        """The lines of the log, without those of full syncs."""
        return self.sql(
            "select * from media_sync_log where operation <> 'full_sync'"
            " and public_id is not distinct from coalesce(%s, public_id) order by id",
            public_id,
        )

    def work(self, **more: str) -> RunningProcess:
        """Let a worker do what is due, and wait for its end."""
        worker = self.start("--once", **more)
        worker.wait(40)
        return worker

    def sync(self, **more: Any) -> Row:
        """A full sync from request to end."""
        named = ", ".join(f"{name} => %s" for name in more)
        run = self.one(f"select request_media_sync({named})", *more.values())
        self.work()
        return self.run(run)

    def run(self, run: UUID) -> Row:
        return self.sql("select * from media_sync_runs where id = %s", run)[0]

    def receive(self, *notifications: Notification) -> list[UUID | None]:
        """Take notifications in, as the HTTP service does."""

        async def take() -> list[UUID | None]:
            database = Database(self.url, size=1)
            try:
                return [await self._receive(Inbox(database), each) for each in notifications]
            finally:
                await database.close()

        return asyncio.run(take())

    async def _receive(self, inbox: Inbox, notification: Notification) -> UUID | None:
        headers = notification.headers
        return await receive(
            inbox,
            notification.body,
            timestamp=headers["X-Cld-Timestamp"],
            signature=headers["X-Cld-Signature"],
            secret=self.cloudinary.api_secret,
        )

    def event(self, id_: UUID | None) -> Row:
        return self.sql("select * from media_webhook_events where id = %s", id_)[0]

    def wait_for(self, query: str, *params: Any, timeout: float = 20.0) -> Any:
        """Wait until the query's value is true, and return it."""
        return wait_until(lambda: self.one(query, *params), timeout=timeout, message=query)

    def assert_mirrored(self) -> None:
        """Rows and assets are the same."""
        account = {a.public_id: a for a in self.cloudinary.account.assets}
        rows = self.rows()
        assert set(rows) == set(account)
        for name, row in rows.items():
            asset = account[name]
            assert row["asset_id"] == asset.asset_id
            assert set(row["tags"]) == set(asset.tags)
            assert row["context"] == dict(asset.context)
            assert row["version"] == asset.version
            assert row["resource_type"] == asset.resource_type
            assert row["sync_status"] == "synced"


@pytest.fixture
def cloudinary() -> Iterator[LocalCloudinary]:
    with LocalCloudinary() as local:
        yield local


@pytest.fixture
def site(database: str, cloudinary: LocalCloudinary, processes: Processes) -> Iterator[Site]:
    env = {
        "DATABASE_URL": database,
        "CLOUDINARY_URL": cloudinary.cloudinary_url,
        "CLOUDINARY_API_BASE": cloudinary.url,
        "RETRY_DELAYS": "0.2",
    }

    def start(*options: str, **more: str) -> RunningProcess:
        return processes.worker({**env, **more}, *options)

    def command(*arguments: str, **more: str) -> RunningProcess:
        return processes.media_worker(*arguments, env={**env, **more})

    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        site = Site(database, connection, env, cloudinary, start, command)
        connection.add_notice_handler(site.note)
        yield site
        assert site.warnings == []
