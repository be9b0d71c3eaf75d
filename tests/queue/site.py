"""The database of a test, as an application and an operator see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from tests.support.wait import wait_until, wait_until_async

Row = dict[str, Any]


class Site:
    """Runs statements on the tests' work table, each in a transaction of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.notices: list[str] = []

    def __enter__(self) -> Self:
        self._connection = self._connect()
        self._connection.add_notice_handler(
            lambda notice: self.notices.append(notice.message_primary or "")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def sql(self, query: str, *params: Any) -> list[Row]:
        """Run one statement, which commits, and return its rows."""
        cursor = self._connection.execute(query, params or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Row]]:
        """A transaction on a connection of its own, to be committed at the end."""
        with self._connect() as connection, connection.transaction():
            yield connection

    def insert(self, *plans: str) -> list[UUID]:
        """A row for each plan, in one statement; a single one that is ok without any."""
        rows = self.sql(
            "insert into test_work (plan) select * from unnest(%s::text[]) returning id",
            list(plans or ("ok",)),
        )
        return [row["id"] for row in rows]

    def row(self, id_: UUID) -> Row:
        """A row of the work table as it is now."""
        return self.sql("select * from test_work where id = %s", id_)[0]

    def runs(self, id_: UUID) -> list[Row]:
        """The runs of a row so far, in order."""
        return self.sql("select * from test_runs where id = %s order by number", id_)

    def jobs(self) -> list[Row]:
        """What is in the queue: ids in the order in which they are served."""
        return self.sql(
            "select id, status::text, priority, args -> 'ids' as ids"
            " from procrastinate.procrastinate_jobs order by priority desc, id"
        )

    def queued(self) -> list[UUID]:
        """The ids that the jobs name, in order."""
        return [UUID(id_) for job in self.jobs() for id_ in job["ids"]]

    def shorten_lease(self, *, seconds: float) -> None:
        """Have silent workers taken for dead sooner."""
        self.sql(
            "create or replace function media_worker.lease() returns interval language sql"
            f" immutable set search_path = '' as 'select interval ''{seconds:g} seconds'''"
        )

    def is_(self, id_: UUID, **wanted: Any) -> bool:
        """Whether the row's columns have these values."""
        row = self.row(id_)
        return all(row[name] == value for name, value in wanted.items())

    def wait_for(self, id_: UUID, *, timeout: float = 20.0, **wanted: Any) -> Row:
        """Wait until the row's columns have these values, and return the row."""
        wait_until(lambda: self.is_(id_, **wanted), timeout=timeout, message=f"{wanted}")
        return self.row(id_)

    async def becomes(self, id_: UUID, **wanted: Any) -> Row:
        """The same on an event loop."""
        await wait_until_async(lambda: self.is_(id_, **wanted), message=f"{wanted}")
        return self.row(id_)

    def _connect(self) -> psycopg.Connection[Row]:
        return psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
