"""`media-worker sync`: compares library and account, and waits for the end."""

from __future__ import annotations

import asyncio
from functools import partial

from worker.queue.waiting import Answer, Hand, Waiting, patient_database, progress_bar
from worker.settings import Settings
from worker.sync.requests import Progress, Requests


def sync_now(
    settings: Settings,
    *,
    force: bool,
    batch_size: int,
    asset: str | None,
    wait: bool,
    quiet: bool,
    hand: Hand,
) -> Answer:
    """Ask for a comparison of all assets, or of one.

    `wait`: until it has ended, or will not go on for a minute; `hand` does the work where no
    worker is alive. Raises `Misconfigured`, `DatabaseUnavailable`, and psycopg's error for a
    senseless batch size.
    """

    async def run() -> Answer:
        async with patient_database(settings) as database:
            requests, waiting = Requests(database), Waiting(database, "sync", hand=hand)
            if wait:
                await waiting.check_somebody_works(missing=settings.cloudinary_missing)
            id_ = await requests.sync(force=force, batch_size=batch_size, asset=asset)
            if not wait:
                return Answer("queued", f"queued: run {id_}", body={"run_id": str(id_)})
            with progress_bar("comparing", quiet=quiet) as bar:
                (ended,) = await waiting.until_ended(
                    partial(requests.progress, id_), show=lambda found: bar(found[0].seen, None)
                )
            return _ended(ended)

    return asyncio.run(run())


def _ended(run: Progress) -> Answer:
    figures = ", ".join(f"{number} {name}" for name, number in run.figures.items())
    body = {"run_id": str(run.id), **run.figures}
    if run.state == "done":
        same = not (run.inserted or run.updated or run.deleted)
        message = "Nothing has changed" if same else "Media library synced"
        return Answer(message, f"{message}: {figures}", body=body)
    told = {"success": False, "error": run.message}
    return Answer(run.message, f"not synced: {run.message}", failed=True, body=told | body)
