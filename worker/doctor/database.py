"""Can the worker use this database, and is everything in it that belongs there?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import psycopg
from psycopg.conninfo import conninfo_to_dict

from worker.db.migrator import Migrator
from worker.db.plan import MigrationFailed, MigrationRefused
from worker.db.pool import Database, DatabaseUnavailable
from worker.db.prechecks import OLDEST_SERVER
from worker.db.state import schema_state
from worker.doctor.access import check_access
from worker.doctor.cdn import cdn_check
from worker.doctor.installation import check_tables, check_triggers, missing_triggers
from worker.doctor.model import Finding
from worker.doctor.work import (
    check_held,
    check_library,
    check_limits,
    check_outages,
    check_queues,
    check_workers,
)
from worker.settings import Settings

MIGRATE = "media-worker migrate"
UNUSABLE = "DATABASE_URL is no URL that libpq understands"
CALL_TIMEOUT = 30.0  # seconds
CLOCK_TOLERANCE = 5.0  # seconds

Check = Callable[[Database], Awaitable[Sequence[Finding]]]
# What only a schema of ours can answer.
CHECKS: Sequence[Check] = (
    check_tables,
    check_triggers,
    check_workers,
    check_queues,
    check_outages,
    check_held,
    check_limits,
    check_library,
)


def examine_database(conninfo: str, settings: Settings | None, *, fix: bool) -> list[Finding]:
    """Everything that can be seen from here; `fix` migrates where that mends something.

    What depends on valid settings is looked at only with them.
    """
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # libpq quotes what it cannot read, and that may be the password
        advice = "in a password, write @ as %40 and / as %2F"
        return [Finding("error", UNUSABLE, advice)]
    place = f"-h {parts.get('host') or 'localhost'} -p {parts.get('port') or 5432}"
    checks = [*CHECKS, cdn_check(settings)] if settings else CHECKS
    return asyncio.run(_examine(conninfo, checks, place=place, fix=fix))


async def _examine(
    conninfo: str, checks: Sequence[Check], *, place: str, fix: bool
) -> list[Finding]:
    database = Database(conninfo, size=1, call_timeout=CALL_TIMEOUT)
    try:
        await database.open()
        findings = [*await check_server(database), *await check_clock(database)]
        if not is_hopeless(findings):
            findings += await _guarded(check_access, database)
        if not is_hopeless(findings):
            findings += await _check_schema(database, conninfo, fix=fix)
        if not is_hopeless(findings):
            findings += [one for check in checks for one in await _guarded(check, database)]
    except DatabaseUnavailable as error:
        return [
            Finding("error", str(error), f"check DATABASE_URL, and the server: pg_isready {place}")
        ]
    finally:
        await database.close()
    return findings


async def check_server(database: Database) -> list[Finding]:
    """Its version, and whether it takes writes."""
    rows = await database.call(
        "select current_setting('server_version_num')::int as number,"
        " current_setting('server_version') as version, pg_is_in_recovery() as replica"
    )
    return list(_server_findings(**rows[0], pooled=database.pooled))


async def check_clock(database: Database, *, now: Callable[[], float] = time.time) -> list[Finding]:
    """This machine's clock against the database's: signed requests depend on it."""
    before = now()
    rows = await database.call("select extract(epoch from clock_timestamp())::float8 as there")
    after = now()
    apart = abs(rows[0]["there"] - (before + after) / 2)
    if apart <= CLOCK_TOLERANCE + (after - before) / 2:
        return []
    what = f"the clocks of this machine and of the database are {apart:.0f} s apart"
    return [Finding("warning", what, "on the one that is wrong: timedatectl set-ntp true")]


def is_hopeless(findings: Sequence[Finding]) -> bool:
    """Whether looking further would only show the same again."""
    return any(finding.level == "error" for finding in findings)


def _server_findings(number: int, version: str, replica: bool, pooled: bool) -> Iterator[Finding]:
    if number < OLDEST_SERVER:
        what = f"PostgreSQL {version} is too old: 15 or later is needed"
        yield Finding("error", what, "upgrade the server")
    elif replica:
        what = "the server is a read-only replica"
        yield Finding("error", what, "set DATABASE_URL to the primary")
    else:
        yield Finding("ok", f"PostgreSQL {version} answers")
    if pooled:
        what = "the connection goes through a pooler: work is looked for every second"
        yield Finding("note", what, "a direct connection starts it at once, and migrate needs one")


async def _check_schema(database: Database, conninfo: str, *, fix: bool) -> list[Finding]:
    state = await _schema_state(database)
    if fix and (state in ("missing", "old") or await missing_triggers(database)):
        return [await _migrated(conninfo)]
    if state == "newer":
        what = "the schema is newer than this worker"
        return [Finding("warning", what, "install the newest media-worker here")]
    if state != "current":
        return [Finding("error", f"the schema is {state}", MIGRATE)]
    return [Finding("ok", "the schema is up to date")]


async def _schema_state(database: Database) -> str:
    async with database.transaction() as connection:
        return await schema_state(connection)


async def _migrated(conninfo: str) -> Finding:
    try:
        plan = await asyncio.to_thread(Migrator(conninfo).apply)
    except (MigrationRefused, MigrationFailed, psycopg.Error) as error:
        return Finding("error", f"the schema could not be migrated: {error}", MIGRATE)
    return Finding("ok", f"the schema was migrated, in {len(plan.steps)} steps")


async def _guarded(check: Check, database: Database) -> Sequence[Finding]:
    """What a check cannot look at must not hide what the others see."""
    try:
        return await check(database)
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        name = check.__name__.removeprefix("check_")
        return [Finding("error", f"{name} could not be looked at: {said}", MIGRATE)]
