"""`media-worker cdn`: puts tracks onto the CDN or takes them off, and waits if that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from worker.cdn.requests import Job, Operation, Requests
from worker.errors import Misconfigured
from worker.queue.waiting import Answer, Hand, Waiting, is_open, patient_database, progress_bar
from worker.settings import Settings

BATCH = 5000  # tracks that one call queues: it looks through all that have no copy
DONE = {"upload": "synced to", "delete": "deleted from"}
DOING = {"upload": "uploading", "delete": "deleting"}


def sync_now(
    settings: Settings,
    *,
    track_id: str,
    operation: Operation,
    wait: bool,
    quiet: bool,
    hand: Hand,
) -> Answer:
    """Ask for a track's upload to all targets, or for its deletion.

    `wait`: until each target has ended it, or will not try again for a minute; `hand` does the
    work where no worker is alive. Progress is shown on a terminal unless `quiet`.
    Raises `Misconfigured`, `DatabaseUnavailable`, and psycopg's error for an unknown track.
    """

    async def run() -> Answer:
        async with patient_database(settings) as database:
            requests, waiting = Requests(database), Waiting(database, "cdn", hand=hand)
            if wait:
                await waiting.check_somebody_works(missing=settings.cdn_lacking)
            await _name_targets(settings, requests, waiting)
            jobs = await requests.sync(track_id, operation)
            if not jobs:
                return _asked_of_nobody(operation, wait=wait)
            if not wait:
                return _queued(jobs, operation)
            return _ended(await _wait(requests, waiting, jobs, operation, quiet), operation)

    return asyncio.run(run())


def backfill_now(settings: Settings, *, limit: int | None, quiet: bool, hand: Hand) -> Answer:
    """Queue older tracks that are not on every target: up to `limit`, or all.

    Raises `Misconfigured`, `DatabaseUnavailable` and psycopg's errors.
    """

    async def run() -> Answer:
        async with patient_database(settings) as database:
            requests, waiting = Requests(database), Waiting(database, "cdn", hand=hand)
            await _name_targets(settings, requests, waiting)
            if not await requests.targets_are_known():
                raise Misconfigured(
                    f"no CDN target is known: set {', '.join(settings.cdn_lacking)}"
                )
            number = await _backfill(requests, limit, quiet=quiet)
            text = f"queued: {number} {'track' if number == 1 else 'tracks'}"
            if number and not await waiting.worker_is_alive():
                text += "; no worker is alive: start one with media-worker run"
            return Answer("queued", text, body={"queued": number})

    return asyncio.run(run())


async def _name_targets(settings: Settings, requests: Requests, waiting: Waiting) -> None:
    """Work is asked of the targets that the workers have named; where none has, by ours."""
    if settings.cdn_lacking:
        return
    if not (await requests.targets_are_known() and await waiting.worker_is_alive()):
        await requests.name_targets(settings.cdn_targets)


async def _wait(
    requests: Requests, waiting: Waiting, jobs: Sequence[UUID], operation: Operation, quiet: bool
) -> Sequence[Job]:
    with progress_bar(DOING[operation], quiet=quiet) as bar:
        return await waiting.until_ended(
            partial(requests.progress, jobs, operation),
            show=lambda found: bar(sum(not is_open(job) for job in found), len(found)),
        )


async def _backfill(requests: Requests, limit: int | None, *, quiet: bool) -> int:
    number = 0
    with progress_bar("queueing", quiet=quiet) as bar:
        while True:
            wanted = BATCH if limit is None else min(BATCH, limit - number)
            found = await requests.backfill(wanted)
            number += found
            bar(number, limit)
            if not found or number == limit:
                return number


def _asked_of_nobody(operation: Operation, *, wait: bool) -> Answer:
    if operation == "delete":
        return _ended([], operation)
    message = "no CDN target is known yet: the track is uploaded once a worker has one"
    body: dict[str, object] = {"success": False, "error": message} if wait else {"jobs": []}
    return Answer(message, message, failed=wait, body=body)


def _queued(jobs: Sequence[UUID], operation: Operation) -> Answer:
    text = f"queued: {operation}, {len(jobs)} {'target' if len(jobs) == 1 else 'targets'}"
    return Answer("queued", text, body={"jobs": [str(job) for job in jobs]})


def _ended(jobs: Sequence[Job], operation: Operation) -> Answer:
    first = jobs[0] if jobs else None
    body = {
        "cdn_url": first and first.cdn_url,
        "sidecar_cdn_url": first and first.sidecar_cdn_url,
        "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    errors = [f"{job.target}: {job.message}" for job in jobs if job.state != "done"]
    if not errors:
        message = f"Files {DONE[operation]} CDN successfully"
        lines = [f"- {job.target}: {job.cdn_url}" for job in jobs if job.cdn_url]
        return Answer(message, "\n".join([message, *lines]), body=body)
    message = f"Files {DONE[operation]} {len(jobs) - len(errors)} of {len(jobs)} CDN targets"
    text = "\n".join([message, *(f"- {error}" for error in errors)])
    told = {"success": False, "error": "; ".join(errors)}
    return Answer(message, text, failed=True, body=told | body)
