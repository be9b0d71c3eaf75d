"""A media library: the application's rows, a Cloudinary account, and workers between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.command import Ended, media_worker
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.cloudinary import Asset, LocalCloudinary

Row = dict[str, Any]


@dataclass
class Library:
    """What a test of deletions at Cloudinary works with."""

    url: str
    connection: psycopg.Connection[Row]
    env: dict[str, str]
    cloudinary: LocalCloudinary
    start: Callable[..., RunningProcess]
    directory: Path
    warnings: list[str] = field(default_factory=list)

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def refused(self, query: str, *params: Any) -> psycopg.errors.Diagnostic:
        """What the database says about a statement that it must refuse."""
        with pytest.raises(psycopg.Error) as refusal:
            self.sql(query, *params)
        return refusal.value.diag

    @contextmanager
    def another(self) -> Iterator[psycopg.Connection[Row]]:
        """Another session of the application's, in an open transaction."""
        with (
            psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection,
            connection.transaction(),
        ):
            yield connection

    def add(self, public_id: str, *, resource_type: str = "image", **values: Any) -> UUID:
        """An asset, and the row that the application has of it."""
        asset = self.cloudinary.account.add(public_id, resource_type=resource_type)
        return self.insert(asset, **values)

    def insert(self, asset: Asset, **values: Any) -> UUID:
        """A row for an asset that is there."""
        row = {
            "public_id": asset.public_id,
            "resource_type": asset.key.resource_type,
            "type": asset.key.type,
            "secure_url": self.secure_url(asset),
            **values,
        }
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        query = f"insert into media_files ({names}) values ({marks}) returning id"
        return self.one(query, *row.values())  # type: ignore[no-any-return]

    def secure_url(self, asset: Asset) -> str:
        key = asset.key
        path = f"{key.resource_type}/{key.type}/v{asset.version}/{asset.public_id}"
        return f"https://res.cloudinary.com/{self.cloudinary.cloud_name}/{path}"

    def delete(self, file: UUID) -> None:
        self.sql("delete from media_files where id = %s", file)

    def soft_delete(self, file: UUID) -> None:
        self.sql("update media_files set status = 'deleted' where id = %s", file)

    def undo(self, file: UUID) -> None:
        self.sql("update media_files set status = 'active' where id = %s", file)

    def file(self, file: UUID) -> Row:
        return self.sql("select * from media_files where id = %s", file)[0]

    def has(self, public_id: str, resource_type: str = "image", type: str = "upload") -> bool:
        """Whether the account has the asset."""
        account = self.cloudinary.account
        return account.get(public_id, resource_type=resource_type, type=type) is not None

    def deletions(self, public_id: str | None = None) -> list[Row]:
        """The rows of the queue, oldest first."""
        return self.sql(
            "select * from cloudinary_cleanup_queue where public_id = coalesce(%s, public_id)"
            " order by created_at, id",
            public_id,
        )

    def deletion(self, public_id: str) -> Row:
        """The only row of the queue for an asset."""
        (found,) = self.deletions(public_id)
        return found

    def work(self, *options: str, **more: str) -> RunningProcess:
        """Let a worker do what is due, and wait for its end."""
        worker = self.start("--once", *options, **more)
        worker.wait(30)
        return worker

    def command(self, *arguments: str, **more: str) -> Ended:
        """`media-worker` with these arguments, run to its end."""
        return media_worker(*arguments, env={**self.env, **more}, cwd=self.directory)

    def wait_for(self, query: str, *params: Any, timeout: float = 20.0) -> Any:
        """Wait until the query's value is true, and return it."""
        return wait_until(lambda: self.one(query, *params), timeout=timeout, message=query)

    def wait_for_rest(self, *, timeout: float = 20.0) -> None:
        """Until every deletion has ended."""
        query = "select bool_and(status in ('completed', 'failed')) from cloudinary_cleanup_queue"
        self.wait_for(query, timeout=timeout)


@pytest.fixture
def cloudinary() -> Iterator[LocalCloudinary]:
    with LocalCloudinary() as local:
        yield local


@pytest.fixture
def library(
    database: str, cloudinary: LocalCloudinary, processes: Processes, tmp_path: Path
) -> Iterator[Library]:
    env = {
        "DATABASE_URL": database,
        "CLOUDINARY_URL": cloudinary.cloudinary_url,
        "CLOUDINARY_API_BASE": cloudinary.url,
        "RETRY_DELAYS": "0.2",
    }

    def start(*options: str, **more: str) -> RunningProcess:
        return processes.worker({**env, **more}, *options)

    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        library = Library(database, connection, env, cloudinary, start, tmp_path)
        connection.add_notice_handler(
            lambda notice: library.warnings.append(str(notice.message_primary))
        )
        yield library
        assert library.warnings == []
