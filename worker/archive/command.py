"""`media-worker archive`: archives tracks now, and waits for it if that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from worker.archive.requests import Job, Requests
from worker.queue.waiting import (
    Answer,
    Hand,
    Waiting,
    is_open,
    patient_database,
    progress_bar,
)
from worker.settings import Settings


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
        async with patient_database(settings) as database:
            requests, waiting = Requests(database), Waiting(database, "archive", hand=hand)
            if wait:
                await waiting.check_somebody_works(missing=settings.archive_missing)
            jobs = await _ask(requests, track_id, limit=limit, force=force, also_open=wait)
            if not jobs and track_id is not None:
                return _archived_already(wait)
            if not wait:
                return _queued(jobs)
            return _ended(len(jobs), await _wait(requests, waiting, jobs, quiet=quiet))

    return asyncio.run(run())


async def _ask(
    requests: Requests, track_id: UUID | None, *, limit: int, force: bool, also_open: bool
) -> Sequence[UUID]:
    if track_id is None:
        return await requests.needed(limit=limit, also_open=also_open)
    job = await requests.one(track_id, force=force)
    return [] if job is None else [job]


async def _wait(
    requests: Requests, waiting: Waiting, jobs: Sequence[UUID], *, quiet: bool
) -> Sequence[Job]:
    with progress_bar("archiving", quiet=quiet) as bar:
        return await waiting.until_ended(
            partial(requests.progress, jobs),
            show=lambda found: bar(sum(not is_open(job) for job in found), len(jobs)),
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
