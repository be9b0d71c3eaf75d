"""What a person asks of the cleanup at once, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from worker.db.pool import Database
from worker.queue.store import patiently
from worker.queue.waiting import IS_LATE, State, lateness

PROGRESS = f"""
    with job as (
        select j.*, {IS_LATE} as is_late from public.cloudinary_cleanup_queue as j
        where j.id = any (%(ids)s::uuid[])
    )
    select id, public_id, case
        when status = 'failed' then 'failed'
        when status = 'completed' then 'done'
        when is_late then 'late'
        when runnable then 'runnable'
        else 'open' end as state,
        coalesce(error_message, case
            when media_worker.is_paused(%(queue)s)
            then 'the queue is paused: select resume_queue(''cleanup'')' end, 'not deleted yet'
        ) as message
    from job order by public_id, id
"""  # noqa: S608


@dataclass(frozen=True)
class Piece:
    """A deletion as it is now; `message` says why it is not done.

    `late`: its next try is further away than anybody wants to wait for.
    """

    id: UUID
    public_id: str
    state: State
    message: str


class Requests:
    """The SQL calls of `media-worker cleanup`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queue(self, most: int, *, retry_failed: bool) -> list[UUID]:
        """See to it that up to `most` due deletions are in the queue; returns them."""
        rows = await self._database.call(
            "select id from media_worker.queue_deletions(%s, %s) as id", (most, retry_failed)
        )
        return [row["id"] for row in rows]

    @patiently
    async def progress(self, ids: Sequence[UUID]) -> list[Piece]:
        """How far these deletions are."""
        asked = {"ids": list(ids), **lateness("cleanup")}
        return [Piece(**row) for row in await self._database.call(PROGRESS, asked)]

    @patiently
    async def statistics(self) -> dict[str, Any]:
        """The queue's figures; the time is in ISO 8601."""
        row = (await self._database.call("select * from public.get_cleanup_queue_stats()"))[0]
        oldest = row["oldest_pending_at"]
        return {**row, "oldest_pending_at": oldest and oldest.isoformat()}
