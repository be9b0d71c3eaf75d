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
    for line in (*_pauses(found["paused"]), *_outages(found["outages"])):
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
