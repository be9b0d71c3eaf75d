"""The status on a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from worker.logging import redact

Row = Mapping[str, Any]
NOTHING = "-"
CLEANUP_COLUMNS = ("pending", "held", "processing", "completed", "failed")
CDN_COLUMNS = ("uploaded", "pending", "processing", "completed", "failed")

ARCHIVE_LINES = (
    ("total_archived", "archived", ""),
    ("pending_archive", "not yet archived", ""),
    ("urgent_archive_needed", "of those, under 2 days left", ""),
    ("expired_tracks", "expired before they were archived", ""),
    ("failed_archive", "failed", ""),
    ("archive_percentage", "archived, of all", " %"),
    ("archived_in_time_percentage", "archived in time, last 30 days", " %"),
    ("failure_percentage", "failed jobs, last 30 days", " %"),
)


def print_status(found: Mapping[str, Any]) -> None:
    """Show what `read_status` has read."""
    console = Console(highlight=False)
    console.print(_queues(found["queues"], paused=found["paused"]))
    console.print(_workers(found["workers"]))
    if not any(worker["alive"] for worker in found["workers"]):
        console.print("no worker is alive: start one with media-worker run", style="yellow")
    console.print(_archive(found["archive"]))
    if found["cdn"]:
        console.print(_cdn(found["cdn"]))
    if any(found["cleanup"][name] for name in CLEANUP_COLUMNS):
        console.print(_cleanup(found["cleanup"]))
    if found["sync"]["total_assets"] or found["sync"]["last_full_sync_at"]:
        console.print(_library(found["sync"]))
    for line in (
        *_failed_sync(found["sync"]),
        *_holds(found["held"]),
        *_limits(found["limits"]),
        *_pauses(found["paused"]),
        *_outages(found["outages"]),
    ):
        console.print(line, style="yellow", markup=False, soft_wrap=True)


def _queues(rows: Iterable[Row], *, paused: Iterable[Row]) -> Table:
    stopped = {pause["queue"] for pause in paused}
    table = _table("Queues", "queue", "waiting", "running", "failed", "oldest due", "")
    for row in rows:
        age = _if_there(row["oldest_due_age"], _duration)
        state = "paused" if row["queue"] in stopped else ""
        counts = [str(row[name]) for name in ("waiting", "running", "failed")]
        table.add_row(row["queue"], *counts, age, state)
    return table


def _workers(rows: Iterable[Row]) -> Table:
    table = _table("Workers", "host", "pid", "queues", "running", "last heartbeat", "")
    for row in rows:
        state = "alive" if row["alive"] else "gone"
        queues, pid = " ".join(row["queues"]) or NOTHING, str(row["pid"])
        moment = _moment(row["last_heartbeat_at"])
        table.add_row(row["host"], pid, queues, str(row["running"]), moment, state)
    return table


def _archive(figures: Row) -> Table:
    table = _table("Archive", "tracks", "")
    for name, meaning, unit in ARCHIVE_LINES:
        table.add_row(meaning, _if_there(figures[name], f"{{}}{unit}".format))
    lasted = _if_there(figures["average_archiving_time"], _duration)
    table.add_row("average archiving time, last 30 days", lasted)
    return table


def _cdn(rows: Iterable[Row]) -> Table:
    table = _table("CDN", "target", *CDN_COLUMNS)
    for row in rows:
        table.add_row(row["target"], *(str(row[name]) for name in CDN_COLUMNS))
    return table


def _cleanup(figures: Row) -> Table:
    table = _table("Deletions at Cloudinary", *CLEANUP_COLUMNS, "oldest pending")
    oldest = _if_there(figures["oldest_pending_at"], _moment)
    table.add_row(*(str(figures[name]) for name in CLEANUP_COLUMNS), oldest)
    return table


def _library(figures: Row) -> Table:
    table = _table(
        "Media library", "assets", "synced", "pending", "errors", "behind by", "last full sync"
    )
    last = _if_there(figures["last_full_sync_at"], _moment)
    table.add_row(
        *(str(figures[name]) for name in ("total_assets", "synced", "pending", "errors")),
        _duration(figures["lag"]),
        f"{last} {figures['last_full_sync_status'] or ''}".rstrip(),
    )
    return table


def _failed_sync(figures: Row) -> Sequence[str]:
    error = figures["last_full_sync_error"]
    return [f"the last full sync failed: {error}"] if error else []


def _holds(rows: Iterable[Row]) -> Sequence[str]:
    return [
        f"{row['held']} deletions of {row['kind']} are held back: {_reason(row)}."
        " If they are wanted: select release_deletions()"
        for row in rows
    ]


def _reason(row: Row) -> str:
    if row["too_many"]:
        return "more wait than DELETE_HOLD_ABOVE"
    return "they were asked for in another database, of which this one is a copy"


def _limits(rows: Iterable[Row]) -> Sequence[str]:
    return [
        f"{row['account']} at Cloudinary has used up its {row['allowed']} calls: work waits until"
        f" {_moment(row['reset_at'])}"
        for row in rows
    ]


def _pauses(rows: Iterable[Row]) -> Sequence[str]:
    return [
        f"{row['queue']} is paused {_until(row['until'])}: select resume_queue('{row['queue']}')"
        for row in rows
    ]


def _outages(rows: Iterable[Row]) -> Sequence[str]:
    return [
        f"{row['service']} has been out of order since {_moment(row['since'])}:"
        f" {redact(row['message'])}"
        for row in rows
    ]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number and name != "queues" else "left")
    return table


def _until(moment: str | None) -> str:
    return f"until {_moment(moment)}" if moment else "until it is resumed"


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _if_there(value: Any, shown: Callable[[Any], str]) -> str:
    return NOTHING if value is None else shown(value)
