"""Carrying the steps out: short lock waits, tried again, and nothing half done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, Cursor, errors

from worker.db.plan import MigrationFailed, Step
from worker.db.records import Records
from worker.db.statements import Created, created, is_concurrent_index, split

# Below PostgreSQL's deadlock_timeout of 1 s: in a deadlock we give way, never the application.
LOCK_TIMEOUT = "800ms"
LOCK_TRIES = 20
LONGEST_PAUSE = 5.0  # seconds

CONTENTION = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
WRONG_VIEW = (errors.InvalidTableDefinition, errors.DependentObjectsStillExist)
INCOMPATIBLE = (errors.InvalidFunctionDefinition, *WRONG_VIEW)


@dataclass(frozen=True)
class Runner:
    """Runs steps on one connection in autocommit mode.

    `pause` is the first wait in seconds after a lock was not to be had; it doubles.
    """

    connection: Connection[Any]
    records: Records
    pause: float = 0.1

    def run(self, steps: Sequence[Step]) -> None:
        """Carry out the steps of one transaction, or the one step that goes without.

        Raises `MigrationFailed` when that cannot be done; the transaction is rolled back then.
        """
        try:
            if steps[0].transactional:
                self._run_together(steps)
            else:
                self._run_outside(steps[0])
        except errors.Error as error:
            raise MigrationFailed(f"{_names(steps)}: {self._explained(error)}") from error

    def value(self, query: str, *, name: str) -> Any:
        """The only value of the query's only row, read in a transaction of its own.

        Raises `MigrationFailed` as `run` does.
        """
        try:
            row = self._patiently(query).fetchone()
        except errors.Error as error:
            raise MigrationFailed(f"{name}: {self._explained(error)}") from error
        return row and row[0]

    def _run_together(self, steps: Sequence[Step]) -> None:
        sql = "\n".join(step.sql for step in steps)
        dropped: list[str] = []  # views before the functions that they call
        while True:
            try:
                self._patiently("\n".join([*dropped, sql]))
                return
            except INCOMPATIBLE as error:
                # `create or replace` keeps the shape of what it replaces. Seldom: so it is
                # tried in place first, where running callers notice nothing.
                drop = self._drop_for(error)
                if not drop or drop in dropped:
                    raise
                dropped.insert(0 if isinstance(error, WRONG_VIEW) else len(dropped), drop)

    def _drop_for(self, error: errors.Error) -> str | None:
        if isinstance(error, WRONG_VIEW):
            views = [found.identity for found in self.records.objects if found.kind == "view"]
            return f"drop view if exists {', '.join(views)};" if views else None
        # The words around the signature are in the server's language.
        hint = re.search(r"DROP (?:FUNCTION|PROCEDURE) (.+\))", error.diag.message_hint or "")
        ours = [found.identity for found in self.records.objects if found.kind == "function"]
        return f"drop routine {hint[1]};" if hint and hint[1] in ours else None

    def _patiently(self, sql: str) -> Cursor[Any]:
        for pause in self._pauses():
            try:
                return self._execute(sql)
            except CONTENTION:
                time.sleep(pause)
        return self._execute(sql)

    def _execute(self, sql: str) -> Cursor[Any]:
        with self.connection.transaction():
            self.connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'".encode())
            return self.connection.execute(sql.encode())

    def _pauses(self) -> Iterator[float]:
        for attempt in range(LOCK_TRIES - 1):
            yield min(self.pause * 2**attempt, LONGEST_PAUSE)

    def _explained(self, error: errors.Error) -> str:
        if isinstance(error, CONTENTION):
            return (
                "other transactions hold the locks that are needed: end long ones "
                "(pg_stat_activity shows them) and run migrate again"
            )
        if isinstance(error, errors.DependentObjectsStillExist):
            return (
                f"{error.diag.message_primary} ({error.diag.message_detail}): drop what depends "
                "on it, run migrate, and create it again"
            )
        if self.connection.closed:
            return "the connection was lost: run migrate again to go on"
        return str(error)

    def _run_outside(self, step: Step) -> None:
        for statement in split(step.sql):
            if is_concurrent_index(statement) and self._has_index(created(statement)[0]):
                continue
            self.connection.execute(statement.encode())

    def _has_index(self, index: Created) -> bool:
        """Whether an earlier, interrupted run has built it; what it left half built is dropped."""
        row = self.connection.execute(
            "select i.indisvalid, format('%%I.%%I', n.nspname, c.relname)"
            " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " join pg_index i on i.indexrelid = c.oid"
            " where n.nspname = %s and c.relname = %s",
            [index.schema, index.name],
        ).fetchone()
        if row and not row[0]:
            self.connection.execute(f"drop index concurrently {row[1]}".encode())
        return bool(row and row[0])


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(str(step) for step in steps)
