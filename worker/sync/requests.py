"""What a person asks of the mirror at once, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from worker.db.pool import Database
from worker.queue.store import patiently
from worker.queue.waiting import IS_LATE, State, lateness

PROGRESS = f"""
    select j.id, j.single_asset, j.seen, j.inserted, j.updated, j.deleted, j.unchanged, j.skipped,
        j.conflicts, case
            when j.status = 'failed' then 'failed'
            when j.status = 'completed' then 'done'
            when {IS_LATE} then 'late'
            when j.runnable then 'runnable'
            else 'open' end as state,
        coalesce(j.error_message, case
            when media_worker.is_paused(%(queue)s)
            then 'the queue is paused: select resume_queue(''sync'')' end, 'not done yet')
            as message
    from public.media_sync_runs as j where j.id = %(id)s
"""  # noqa: S608


@dataclass(frozen=True)
class Progress:
    """A run as it is now; `message` says why it is not done.

    `late`: it will not go on as long as anybody wants to wait for.
    """

    id: UUID
    single_asset: str | None
    seen: int
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    skipped: int
    conflicts: int
    state: State
    message: str

    @property
    def figures(self) -> dict[str, int]:
        """What became of the assets so far."""
        names = ("seen", "inserted", "updated", "deleted", "unchanged", "skipped", "conflicts")
        return {name: getattr(self, name) for name in names}


class Requests:
    """The SQL calls of `media-worker sync`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patiently
    async def sync(self, *, force: bool, batch_size: int, asset: str | None) -> UUID:
        """Ask for a comparison; returns the run's id."""
        rows = await self._database.call(
            "select public.request_media_sync(%s, %s, %s) as id", (force, batch_size, asset)
        )
        run: UUID = rows[0]["id"]
        return run

    @patiently
    async def progress(self, run: UUID) -> Sequence[Progress]:
        """The run as it is now."""
        rows = await self._database.call(PROGRESS, {"id": run, **lateness("sync")})
        return [Progress(**row) for row in rows]

    async def insert_file(self, values: dict[str, Any]) -> UUID:
        """The row of media_files for a file that was uploaded."""
        rows = await self._database.call(
            "insert into public.media_files (public_id, resource_type, type, filename, url,"
            " secure_url, mime_type, bytes, folder) values (%(public_id)s, %(resource_type)s,"
            " %(type)s, %(filename)s, %(url)s, %(secure_url)s, %(mime_type)s, %(bytes)s,"
            " %(folder)s) returning id",
            values,
        )
        row: UUID = rows[0]["id"]
        return row
