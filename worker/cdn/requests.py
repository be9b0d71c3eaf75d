"""What a person asks of the CDN at once, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from worker.db.pool import Database
from worker.queue.store import patiently
from worker.queue.waiting import IS_LATE, State, lateness

Operation = Literal["upload", "delete"]

# An upload needs nothing of targets that no worker knows any more; a deletion does.
PROGRESS = f"""
    with job as (
        select j.*, t.position, coalesce(t.active, false) as active, {IS_LATE} as is_late
        from public.cdn_sync_jobs as j
        left join media_worker.cdn_targets as t on t.name = j.target
        where j.id = any (%(ids)s::uuid[])
    )
    select id, target, cdn_url, sidecar_cdn_url, case
        when operation <> %(operation)s then 'failed'
        when status = 'failed' then 'failed'
        when status = 'completed' and error_message like 'cancelled:%%' then 'failed'
        when status = 'completed' then 'done'
        when is_late then 'late'
        when runnable then 'runnable'
        else 'open' end as state,
        case when operation <> %(operation)s then 'by now, ' || operation || ' is wanted'
            else coalesce(error_message, case
                when media_worker.is_paused(%(queue)s)
                then 'the queue is paused: select resume_queue(''cdn'')' end, 'not done yet')
        end as message
    from job where active or %(operation)s = 'delete'
    order by active desc, position, target
"""  # noqa: S608


@dataclass(frozen=True)
class Job:
    """A track's job on one target as it is now; `message` says why it is not done.

    `late`: its next try is further away than anybody wants to wait for.
    """

    id: UUID
    target: str
    cdn_url: str | None
    sidecar_cdn_url: str | None
    state: State
    message: str


class Requests:
    """The SQL calls of `media-worker cdn`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def targets_are_known(self) -> bool:
        """Whether any worker has named targets."""
        rows = await self._database.call(
            "select exists (select from media_worker.cdn_targets as t where t.active) as known"
        )
        return bool(rows[0]["known"])

    async def name_targets(self, names: Sequence[str]) -> None:
        """Name the targets, as a worker does at its start."""
        await self._database.call("select media_worker.cdn_configure(%s::text[])", (list(names),))

    async def sync(self, track_id: str, operation: Operation) -> list[UUID]:
        """Ask for a track's upload or deletion; returns its jobs, one a target.

        Raises psycopg's error for an unknown track.
        """
        rows = await self._database.call(
            "select id from public.sync_to_cdn(%s, %s) as id", (track_id, operation)
        )
        return [row["id"] for row in rows]

    @patiently
    async def progress(self, ids: Sequence[UUID], operation: Operation) -> list[Job]:
        """How far these jobs are, the first target's first."""
        asked = {"ids": list(ids), "operation": operation, **lateness("cdn")}
        return [Job(**row) for row in await self._database.call(PROGRESS, asked)]

    @patiently
    async def backfill(self, max_rows: int) -> int:
        """Queue up to so many older tracks; returns how many there were."""
        rows = await self._database.call("select public.backfill_cdn(%s) as number", (max_rows,))
        return int(rows[0]["number"])
