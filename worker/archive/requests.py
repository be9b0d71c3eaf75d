"""What a person asks of the archive at once, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from worker.db.pool import Database
from worker.queue.store import patiently
from worker.queue.waiting import IS_LATE, State, lateness

# Those that nothing has been asked of come first: the others are on their way already.
NEEDED = """
    select t.track_id, j.id as job_id,
        coalesce(j.claim is not null or j.runnable, false) as under_way
    from media_worker.playable_tracks as t
    left join public.track_archiving_jobs as j on j.track_id = t.track_id
    where not t.archived and t.scheduled_at <= now()
        and not coalesce(j.status = 'failed' and j.completed_at >= t.expires_at, false)
        and (%(also_open)s or not coalesce(j.status in ('pending', 'processing'), false))
    order by coalesce(j.status in ('pending', 'processing'), false),
        t.expires_at <= now(), t.expires_at, t.track_id
    limit %(limit)s
"""
PROGRESS = f"""
    with job as (
        select j.*, t.title, coalesce(t.archived, false) as archived, {IS_LATE} as is_late
        from public.track_archiving_jobs as j
        left join media_worker.playable_tracks as t on t.track_id = j.track_id
        where j.id = any (%(ids)s::uuid[])
    )
    select id, track_id, title, case
        when status = 'failed' then 'failed'
        when status = 'completed' and error_message like 'cancelled:%%' and not archived
            then 'failed'
        when status = 'completed' then 'done'
        when is_late and archived and not forced then 'done'
        when is_late then 'late'
        when runnable then 'runnable'
        else 'open' end as state,
        coalesce(error_message, case
            when media_worker.is_paused(%(queue)s)
            then 'the queue is paused: select resume_queue(''archive'')' end, 'not archived yet'
        ) as message
    from job order by track_id
"""  # noqa: S608


@dataclass(frozen=True)
class Job:
    """A track's job as it is now.

    `late`: its next try is further away than anybody wants to wait for; `message` says why.
    """

    id: UUID
    track_id: UUID
    title: str | None
    state: State
    message: str


class Requests:
    """The SQL calls of `media-worker archive`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, track_id: UUID, *, force: bool) -> UUID | None:
        """Ask for the archiving of a track; None when it is archived already.

        Raises psycopg's error for a track that is unknown or cannot be archived.
        """
        rows = await self._database.call(
            "select public.archive_track(%s, %s) as id,"
            " (select t.archived from media_worker.playable_tracks as t where t.track_id = %s)"
            " as archived",
            (track_id, force, track_id),
        )
        return None if rows[0]["archived"] and not force else UUID(str(rows[0]["id"]))

    async def needed(self, *, limit: int, also_open: bool) -> list[UUID]:
        """Ask for the archiving of up to `limit` tracks that need it; returns their jobs.

        `also_open`: those too that have been asked for before and are waiting.
        """
        rows = await self._database.call(NEEDED, {"limit": limit, "also_open": also_open})
        waiting = [row["track_id"] for row in rows if not row["under_way"]]
        asked = await self._database.call(
            "select id from media_worker.request_archiving(%s::uuid[]) as id", (waiting,)
        )
        return [row["job_id"] for row in rows if row["under_way"]] + [row["id"] for row in asked]

    @patiently
    async def progress(self, ids: Sequence[UUID]) -> list[Job]:
        """How far these jobs are."""
        rows = await self._database.call(PROGRESS, {"ids": list(ids), **lateness("archive")})
        return [Job(**row) for row in rows]
