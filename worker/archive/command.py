"""`media-worker archive`: archives tracks now, and waits for it if that is wanted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.archive.requests import Job, Requests
from worker.db.pool import Database
from worker.errors import Misconfigured
from worker.settings import Settings

PAUSE_SECONDS = 0.2  # between two looks
CALL_TIMEOUT = 60.0  # seconds: asking for many tracks takes a while
LOCK_TIMEOUT = 10.0  # seconds: the application may hold the track

# A worker in this process, that does just the rows that it is told to.
Hand = Callable[[], AbstractAsyncContextManager[Callable[[Iterable[UUID]], None]]]
Show = Callable[[Sequence[Job]], None]


@dataclass(frozen=True)
class Answer:
    """What came of the command, `text` for people; `failed`: not every track was archived."""

    message: str
    text: str
    failed: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs: `success` says that the command was carried out."""
        return {"success": True, "message": self.message, **self.body}


def archive_now(
    settings: Settings,
    *,
    track_id: UUID | None,
    limit: int,
    force: bool,
    wait: bool,
    quiet: bool,
    hand: Hand,
) -> Answer:
    """Ask for the archiving of a track, or of up to `limit` that need it.

    `wait`: until each is archived, has failed, or will not be tried again for a minute; `hand`
    does the work where no worker is alive. Progress is shown on a terminal unless `quiet`.
    Raises `Misconfigured`, `DatabaseUnavailable`, and psycopg's error for an unknown track.
    """

    async def run() -> Answer:
        database = Database(
            _conninfo(settings), call_timeout=CALL_TIMEOUT, lock_timeout=LOCK_TIMEOUT
        )
        requests = Requests(database)
        try:
            if wait:
                await _check_somebody_works(settings, requests)
            jobs = await _ask(requests, track_id, limit=limit, force=force, also_open=wait)
            if not jobs and track_id is not None:
                return _archived_already(wait)
            if not wait:
                return _queued(jobs)
            with _progress(len(jobs), quiet=quiet) as show:
                return _ended(len(jobs), await _wait(requests, jobs, hand, show))
        finally:
            await database.close()

    return asyncio.run(run())


async def _ask(
    requests: Requests, track_id: UUID | None, *, limit: int, force: bool, also_open: bool
) -> Sequence[UUID]:
    if track_id is None:
        return await requests.needed(limit=limit, also_open=also_open)
    job = await requests.one(track_id, force=force)
    return [] if job is None else [job]


async def _check_somebody_works(settings: Settings, requests: Requests) -> None:
    if not settings.archive_configured and not await requests.worker_is_alive():
        raise Misconfigured(
            "no worker is alive, and this process cannot archive: "
            f"set {', '.join(settings.archive_missing)}"
        )


async def _wait(requests: Requests, ids: Sequence[UUID], hand: Hand, show: Show) -> Sequence[Job]:
    async with AsyncExitStack() as stack:
        do: Callable[[Iterable[UUID]], None] | None = None
        while True:
            jobs = await requests.progress(ids)
            show(jobs)
            if not any(job.is_open for job in jobs):
                return jobs
            # looked at every time: the worker that was alive may have died meanwhile
            if do is None and not await requests.worker_is_alive():
                do = await stack.enter_async_context(hand())
            if do is not None:
                do(job.id for job in jobs if job.state == "runnable")
            await asyncio.sleep(PAUSE_SECONDS)


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Show]:
    columns = (TextColumn("archiving"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    off = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=off) as progress:
        task = progress.add_task("archiving", total=total)
        yield lambda jobs: progress.update(
            task, completed=sum(not job.is_open for job in jobs), refresh=True
        )


def _queued(jobs: Sequence[UUID]) -> Answer:
    text = f"queued: {len(jobs)} {'track' if len(jobs) == 1 else 'tracks'}"
    return Answer("queued", text, body={"jobs": [str(job) for job in jobs]})


def _archived_already(wait: bool) -> Answer:
    if wait:
        return _results(1, succeeded=1, errors=[])
    message = "the track is archived already"
    return Answer(message, f"{message}: --force archives it again", body={"jobs": []})


def _ended(total: int, jobs: Sequence[Job]) -> Answer:
    unsuccessful = [job for job in jobs if job.state != "done"]
    errors = [
        {"trackId": str(job.track_id), "title": job.title, "error": job.message}
        for job in unsuccessful
    ]
    return _results(total, succeeded=len(jobs) - len(unsuccessful), errors=errors)


def _results(total: int, *, succeeded: int, errors: list[dict[str, str | None]]) -> Answer:
    message = f"Archived {succeeded}/{total} tracks"
    lines = [f"- {each['title'] or each['trackId']}: {each['error']}" for each in errors]
    failed = total - succeeded
    results = {"total": total, "succeeded": succeeded, "failed": failed, "errors": errors}
    return Answer(message, "\n".join([message, *lines]), failed > 0, {"results": results})


def _conninfo(settings: Settings) -> str:
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    return settings.database_url.get_secret_value()
