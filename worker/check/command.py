"""`media-worker check`: what it does, and what it says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from worker.check.actions import Report
from worker.check.buckets.places import configured_places
from worker.check.buckets.verification import AT_ONCE
from worker.check.inspection import Progress
from worker.check.model import FAULTS, KINDS, Finding, Options, PlaceReport
from worker.check.setup import CloudinaryPlace, Grounds, check
from worker.cloudinary import Account as CloudinaryAccount
from worker.cloudinary import AdminApi, Budget
from worker.cloudinary.library import Library
from worker.db.pool import Database
from worker.errors import Misconfigured
from worker.settings import Settings

CALL_TIMEOUT = 60.0  # seconds: a page of a large table may take a while
PATIENCE = 20.0  # seconds that somebody who sits there waits for the account's rate limit


def check_now(settings: Settings, options: Options, *, quiet: bool) -> Report:
    """Check every place that is configured. Progress is shown on a terminal unless `quiet`.

    Raises `Misconfigured` where there is none, `DatabaseUnavailable`, and psycopg's errors.
    """
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    if not configured_places(settings) and settings.cloudinary is None:
        missing = ", ".join([*settings.archive_missing, *settings.cloudinary_missing])
        raise Misconfigured(f"nothing is configured that could be checked: set some of {missing}")
    with _progress(quiet=quiet) as progress, ThreadPoolExecutor(AT_ONCE + 1) as executor:
        return asyncio.run(_check(settings, executor, options, progress))


def print_report(report: Report, *, repair: bool) -> None:
    """A line for each finding, and one for each place."""
    console = Console(highlight=False)

    def say(line: str, style: str = "") -> None:
        console.print(line, markup=False, soft_wrap=True, style=style or None)

    for finding in report.findings:
        say(_line(finding))
    for place in report.places:
        say(_summary(place), "" if place.agrees else "yellow")
    if report.stopped:
        say(report.stopped, "red")
    elif not repair and any(place.faults for place in report.places):
        say("nothing was changed: --repair mends it")
    elif any(place.repaired for place in report.places):
        say("the repairs are queued: a worker carries them out (media-worker run)")


def shown(key: str) -> str:
    """A key as it can be printed: who names objects may have put anything into it."""
    return key if key.isprintable() else ascii(key)


async def _check(
    settings: Settings, executor: ThreadPoolExecutor, options: Options, progress: Progress
) -> Report:
    conninfo = "" if settings.database_url is None else settings.database_url.get_secret_value()
    database = Database(conninfo, size=2, call_timeout=CALL_TIMEOUT)
    try:
        with _account(settings, database, executor) as account:
            grounds = Grounds(configured_places(settings), account)
            now = check(
                database, grounds, executor, options=options, patience=PATIENCE, progress=progress
            )
            return await now()
    finally:
        await database.close()


@contextmanager
def _account(
    settings: Settings, database: Database, executor: ThreadPoolExecutor
) -> Iterator[CloudinaryPlace | None]:
    access = settings.cloudinary
    if access is None:
        yield None
        return
    api = AdminApi(access, connections=1)
    try:
        account = CloudinaryAccount(api, Budget(database, access.cloud_name), executor)
        yield CloudinaryPlace(access.cloud_name, Library(account))
    finally:
        api.close()


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    off = quiet or not sys.stderr.isatty()
    with Bars(*columns, console=Console(stderr=True), transient=True, disable=off) as bars:
        task = bars.add_task("checking", total=None)
        yield lambda place, objects: bars.update(
            task, description=f"checking {place}: {objects:,} objects"
        )


def _line(finding: Finding) -> str:
    repair = finding.outcome or f"repair: {finding.repair}"
    if finding.kind not in FAULTS:
        repair = finding.repair
    said = f"{finding.kind}: {finding.place} {shown(finding.key)}: {finding.what}"
    return f"{said} ({repair})"


def _summary(place: PlaceReport) -> str:
    found = [f"{place.counts[kind]:,} {kind}" for kind in KINDS if place.counts[kind]]
    if place.repaired:
        found.append(f"{place.repaired:,} under repair")
    unlisted = sum(place.counts.values()) - len(place.findings)
    if unlisted > 0:
        found.append(f"{unlisted:,} of them not listed here")
    said = f"{place.place}: {place.objects:,} objects, {', '.join(found) or 'all as it should be'}"
    return f"{said}; {place.error}" if place.error else said
