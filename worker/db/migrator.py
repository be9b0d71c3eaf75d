"""`media-worker migrate`: from the database as it is to the one that this release needs.

Everything is planned first, as SQL, from what is recorded and what the catalog shows; what does
not fit stops it before anything is changed. Whatever is done is recorded in the transaction that
does it, so a run that was cut off is simply continued by the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from worker.db.adoption import adoption
from worker.db.afterwards import AFTERWARDS, catch_up
from worker.db.declarations import read_tables
from worker.db.plan import MigrationFailed, MigrationRefused, Plan, Step, join
from worker.db.pooling import shares_servers
from worker.db.prechecks import ROLE, history, surroundings
from worker.db.queue_schema import queue_steps
from worker.db.records import Records, record
from worker.db.repeatable import GRANTED_ROLES, ROLES, repeatable_steps
from worker.db.runner import LOCK_TIMEOUT, Runner
from worker.db.sqlfiles import SqlFile, SqlFiles, bookkeeping, sql_root
from worker.db.takeover import takeover

MIGRATION = "migration"
LOCK_KEY = 0x6D656469615F776B  # one migrate at a time in a database
LOCK_DEADLINE = 600.0  # seconds
LOCK_POLL = 0.2  # seconds
CONNECT_TIMEOUT = 15  # seconds

# Our files name every schema; and a role's settings must not cut a migration short.
SESSION = """
set search_path = '';
set statement_timeout = 0;
set lock_timeout = 0;
set idle_in_transaction_session_timeout = 0;
set default_transaction_isolation = 'read committed';
set default_transaction_read_only = off;
set client_min_messages = warning;
"""

POOLED = (
    "the connection goes through a pooler in transaction mode, which migrate cannot work behind: "
    "set DATABASE_URL to a direct connection for it, or to the pooler's session mode (on "
    "Supabase: port 5432 instead of 6543)"
)

CREATE_ROLE = f"""
do $role$
begin
    create role {ROLE} nologin;
exception
    when duplicate_object or unique_violation then null;  -- by a migrate of another database
end
$role$;
"""


class Migrator:
    """Migrates the database of `conninfo`: a direct connection, or a pooler's in session mode.

    `sql_root` is the directory of the SQL files, by default the shipped ones; `lock_deadline`
    is how long, in seconds, to wait for another migrate.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        sql_root: Path | None = None,
        lock_deadline: float = LOCK_DEADLINE,
    ) -> None:
        self._conninfo = conninfo
        self._root = sql_root
        self._lock_deadline = lock_deadline

    def check(self) -> Plan:
        """What `apply` would do. Reads only. Raises `MigrationRefused`."""
        with self._connected() as connection:
            return self._plan(connection, Records.read(connection))

    def apply(self, *, progress: Callable[[str], None] = lambda _: None) -> Plan:
        """Bring the database up to date, and return what was done.

        Safe to repeat, to run twice at once, and while workers run. `progress` is told what takes
        long. Raises `MigrationRefused` before anything is changed, `MigrationFailed` where a step
        could not be carried out.
        """
        with self._connected() as connection, self._alone(connection):
            records = Records.read(connection)
            plan = self._plan(connection, records)
            runner = Runner(connection, records)
            for steps in plan.transactions:
                runner.run(steps)
            catch_up(connection, runner, progress)
            return plan

    def script(self) -> str:
        """The SQL that `apply` would run, for psql. Raises `MigrationRefused`."""
        plan = self.check()
        if plan.up_to_date:
            return "-- nothing to do\n"
        return SESSION + "\n".join([*map(_script, plan.transactions), AFTERWARDS])

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        with self._connect() as connection:
            if shares_servers(connection, self._connect):
                raise MigrationRefused([POOLED])
            connection.execute(SESSION)
            yield connection

    def _connect(self) -> Connection[Any]:
        try:
            return psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT,
                prepare_threshold=None,
                application_name="media-worker migrate",
            )
        except psycopg.OperationalError as error:
            reason = str(error).partition("\n")[0]
            raise MigrationFailed(f"the database cannot be reached: {reason}") from error
        except psycopg.ProgrammingError:
            # libpq quotes what it cannot read, and that may be the password.
            raise MigrationFailed("DATABASE_URL is no URL that libpq understands") from None

    @contextmanager
    def _alone(self, connection: Connection[Any]) -> Iterator[None]:
        # Asked for again and again: a session that waits inside a statement would hold up
        # `create index concurrently` in the very run that it waits for.
        deadline = time.monotonic() + self._lock_deadline
        while not _try_lock(connection):
            if time.monotonic() > deadline:
                raise MigrationFailed("another migrate is still running: wait for it or end it")
            time.sleep(LOCK_POLL)
        try:
            yield
        finally:
            # A pooler gives the session to somebody else: neither lock nor settings may stay.
            with suppress(psycopg.Error):
                connection.execute("discard all")

    def _plan(self, connection: Connection[Any], records: Records) -> Plan:
        files = SqlFiles(self._root or sql_root())
        pending = [file for file in files.migrations if not records.sha256(MIGRATION, file.name)]
        tables = read_tables(files.declarations)
        adopted = adoption(connection, tables, records)
        taken = takeover(
            connection,
            pending=pending,
            repeatable=files.repeatable,
            records=records,
            adopted=[table.name for table in tables],
        )
        problems = [
            *surroundings(connection, records),
            *history(files, records),
            *adopted.problems,
            *taken.problems,
        ]
        if problems:
            raise MigrationRefused(problems)
        before = [
            *_role_steps(connection),
            *_bookkeeping_steps(records),
            *queue_steps(connection, records),
            *adopted.steps,
        ]
        ours = [*taken.steps, *_migration_steps(pending, transactional=True)]
        ours += repeatable_steps(
            files, records, forced=bool(before or ours) or _has_other_roles(connection, records)
        )
        # From the moment on that the classic triggers are gone, ours must be there: what takes
        # its time outside a transaction comes last.
        ours = join(ours) if taken.steps else ours
        outside = _migration_steps(pending, transactional=False)
        return Plan((*before, *ours, *taken.later, *outside))


def _role_steps(connection: Connection[Any]) -> list[Step]:
    found = connection.execute("select rolname from pg_roles where rolname = %s", [ROLE]).fetchone()
    return [] if found else [Step("role", ROLE, CREATE_ROLE)]


def _bookkeeping_steps(records: Records) -> list[Step]:
    file = bookkeeping()
    if records.sha256("bookkeeping", file.name) == file.sha256:
        return []
    return [Step("bookkeeping", "", "\n".join([file.text, record("bookkeeping", file)]))]


def _has_other_roles(connection: Connection[Any], records: Records) -> bool:
    """Whether the roles that grants name are not those of the last time: new, gone or made anew."""
    query = f"select name, oid from ({GRANTED_ROLES}) as granted (name, oid)"  # noqa: S608
    found = {name: str(oid) for name, oid in connection.execute(query.encode())}
    return found != {name: records.sha256(ROLES, name) for name in records.names(ROLES)}


def _migration_steps(files: Iterable[SqlFile], *, transactional: bool) -> list[Step]:
    return [_migration_step(file) for file in files if file.transactional is transactional]


def _migration_step(file: SqlFile) -> Step:
    sql = "\n".join([file.text, ";", record(MIGRATION, file)])
    return Step(MIGRATION, file.name, sql, transactional=file.transactional)


def _script(steps: tuple[Step, ...]) -> str:
    title = "".join(f"-- {step}\n" for step in steps)
    sql = "\n".join(step.sql for step in steps)
    if not steps[0].transactional:
        return f"{title}{sql}\n"
    return f"{title}begin;\nset local lock_timeout = '{LOCK_TIMEOUT}';\n{sql}\ncommit;\n"


def _try_lock(connection: Connection[Any]) -> bool:
    row = connection.execute("select pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
    return bool(row and row[0])
