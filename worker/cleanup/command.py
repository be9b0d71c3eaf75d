"""`media-worker cleanup`: has due deletions carried out, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from worker.cleanup.requests import Piece, Requests
from worker.queue.waiting import Answer, Hand, Waiting, is_open, patient_database, progress_bar
from worker.settings import Settings


def clean_up_now(
    settings: Settings, *, batch_size: int | None, retry_failed: bool, quiet: bool, hand: Hand
) -> Answer:
    """Have up to `batch_size` due deletions carried out, `retry_failed`: failed ones too.

    Waits until each has ended, or will not be tried again for a minute; `hand` does the work where
    no worker is alive. Progress is shown on a terminal unless `quiet`.
    Raises `Misconfigured`, `DatabaseUnavailable` and psycopg's errors.
    """

    async def run() -> Answer:
        async with patient_database(settings) as database:
            requests, waiting = Requests(database), Waiting(database, "cleanup", hand=hand)
            await waiting.check_somebody_works(missing=settings.cloudinary_missing)
            most = batch_size or settings.cleanup_batch_size
            ids = await requests.queue(most, retry_failed=retry_failed)
            pieces: Sequence[Piece] = []
            if ids:
                with progress_bar("deleting", quiet=quiet) as bar:
                    pieces = await waiting.until_ended(
                        partial(requests.progress, ids),
                        show=lambda found: bar(sum(not is_open(p) for p in found), len(ids)),
                    )
            return _ended(pieces, await requests.statistics())

    return asyncio.run(run())


def _ended(pieces: Sequence[Piece], statistics: Mapping[str, Any]) -> Answer:
    errors = [f"{each.public_id}: {each.message}" for each in pieces if each.state != "done"]
    message = f"Carried out {len(pieces) - len(errors)} of {len(pieces)} deletions"
    lines = [message, *(f"- {error}" for error in errors), _left(statistics)]
    body: dict[str, Any] = {"queued": len(pieces), "stats": statistics}
    if errors:
        body |= {"success": False, "error": "; ".join(errors)}
    return Answer(message, "\n".join(lines), failed=bool(errors), body=body)


def _left(statistics: Mapping[str, Any]) -> str:
    text = f"still pending: {statistics['pending']}, failed: {statistics['failed']}"
    if statistics["held"]:
        text += f"; held back: {statistics['held']}, until select release_deletions()"
    return text
