"""`media-worker check`: what it does, and what it says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from worker.check.actions import Check, Report
from worker.check.inspection import Progress
from worker.check.model import FAULTS, KINDS, Finding, Options, PlaceReport
from worker.check.places import Place, configured_places
from worker.check.store import CheckStore
from worker.check.verification import AT_ONCE
from worker.db.pool import Database
from worker.errors import Misconfigured
from worker.settings import Settings

CALL_TIMEOUT = 60.0  # seconds: a page of a large table may take a while


def check_now(settings: Settings, options: Options, *, quiet: bool) -> Report:
    """Check every place that is configured. Progress is shown on a terminal unless `quiet`.

    Raises `Misconfigured` where there is none, `DatabaseUnavailable`, and psycopg's errors.
    """
    places = configured_places(settings)
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    if not places:
        missing = ", ".join(settings.archive_missing)
        raise Misconfigured(f"no storage is configured that could be checked: set {missing}")
    conninfo = settings.database_url.get_secret_value()
    with _progress(quiet=quiet) as progress, ThreadPoolExecutor(AT_ONCE + 1) as executor:
        return asyncio.run(_check(conninfo, places, executor, options, progress))


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
    conninfo: str,
    places: Sequence[Place],
    executor: ThreadPoolExecutor,
    options: Options,
    progress: Progress,
) -> Report:
    database = Database(conninfo, size=2, call_timeout=CALL_TIMEOUT)
    try:
        rows = CheckStore(database, uuid4())
        return await Check(rows, places, executor, options=options, progress=progress)()
    finally:
        await database.close()


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
