"""Is work being done, and if not, what keeps it?"""

from __future__ import annotations

from datetime import timedelta

from worker.db.pool import Database, Row
from worker.doctor.model import Finding

RUN = "media-worker run"

WORKERS = "select host, pid from public.worker_status where alive order by started_at"
QUEUES = """
    select q.queue, q.waiting, q.failed, q.oldest_due_age,
        coalesce(q.oldest_due_age > interval '1 minute', false) as is_stuck,
        p.queue is not null as is_paused, p.until,
        exists (select from public.worker_status as w where w.alive) as has_worker,
        exists (select from public.worker_status as w
                where w.alive and q.queue = any (w.queues)) as is_served
    from public.queue_health as q
    left join media_worker.paused_queues as p
        on p.queue = q.queue and (p.until is null or p.until > clock_timestamp())
    order by q.queue
"""
OUTAGES = "select service, since, message from media_worker.outages order by service"


HELD = "select kind, held, too_many from media_worker.held_figures() where held > 0"
LIMITS = """
    select account, allowed, reset_at from media_worker.api_budgets
    where remaining = 0 and reset_at > clock_timestamp() order by account
"""


LIBRARY = """
    select f.last_full_sync_status, f.errors, (
            select a.sync_error from public.media_assets as a
            where a.sync_status = 'error' and a.deleted_at is null limit 1) as example,
        (select r.error_message from public.media_sync_runs as r
         where r.single_asset is null and r.status = 'failed'
         order by r.completed_at desc limit 1) as failure
    from public.media_sync_status as f
"""


async def check_workers(database: Database) -> list[Finding]:
    """Is anybody there to work?"""
    rows = await database.call(WORKERS)
    if not rows:
        return [Finding("warning", "no worker is alive", RUN)]
    names = ", ".join(f"{row['host']} ({row['pid']})" for row in rows)
    return [Finding("ok", f"workers alive: {names}")]


async def check_queues(database: Database) -> list[Finding]:
    """What is paused, has failed, or waits for too long."""
    rows = await database.call(QUEUES)
    return [
        *(_paused(row) for row in rows if row["is_paused"]),
        *(_failed(row) for row in rows if row["failed"]),
        *(_stuck(row) for row in rows if row["is_stuck"] and not row["is_paused"]),
    ]


async def check_outages(database: Database) -> list[Finding]:
    """Services of the team's own that work waits for."""
    return [
        Finding(
            "error",
            f"work waits for {row['service']} since {row['since']:%Y-%m-%d %H:%M:%S %Z}:"
            f" {row['message']}",
            "see to the service: it is tried once a minute, and the work goes on by itself",
        )
        for row in await database.call(OUTAGES)
    ]


async def check_held(database: Database) -> list[Finding]:
    """Deletions that wait for somebody's word."""
    return [_held(row) for row in await database.call(HELD)]


async def check_limits(database: Database) -> list[Finding]:
    """Rate limits that are reached."""
    return [
        Finding(
            "note",
            f"{row['account']} at Cloudinary has used up its {row['allowed']} calls: work waits"
            f" until {row['reset_at']:%Y-%m-%d %H:%M:%S %Z}",
            "nothing, or a plan with more calls",
        )
        for row in await database.call(LIMITS)
    ]


async def check_library(database: Database) -> list[Finding]:
    """Is the media library what the Cloudinary account is?"""
    (row,) = await database.call(LIBRARY)
    found = []
    if row["errors"]:
        what = f"rows of media_assets that cannot be synced: {row['errors']}; {row['example']}"
        again = "update media_assets set sync_status = 'pending' where sync_status = 'error'"
        found.append(Finding("warning", what, f"mend the cause, then {again}"))
    if row["last_full_sync_status"] == "failed":
        what = f"the last full sync failed: {row['failure']}"
        mend = "do what it says, if it says what to do; else: media-worker sync --wait"
        found.append(Finding("warning", what, mend))
    return found


def _held(row: Row) -> Finding:
    what = f"deletions of {row['kind']} are held back: {row['held']}"
    if row["too_many"]:
        what += ", since more waited than DELETE_HOLD_ABOVE"
    else:
        what += ", since they were asked for in another database, of which this one is a copy"
    return Finding("warning", what, "if they are wanted: select release_deletions()")


def _paused(row: Row) -> Finding:
    until = f"until {row['until']:%Y-%m-%d %H:%M:%S %Z}" if row["until"] else "until it is resumed"
    mend = f"select resume_queue('{row['queue']}')"
    return Finding("warning", f"the queue {row['queue']} is paused {until}", mend)


def _failed(row: Row) -> Finding:
    what = f"failed work in {row['queue']}: {row['failed']}; error_message says why"
    return Finding("warning", what, f"media-worker retry {row['queue']}")


def _stuck(row: Row) -> Finding:
    queue, age = row["queue"], timedelta(seconds=round(row["oldest_due_age"].total_seconds()))
    what = f"work in {queue} that could run has waited for {age}"
    if not row["has_worker"]:
        return Finding("error", f"{what}: no worker is alive", RUN)
    if not row["is_served"]:
        mend = f"{RUN} --queues {queue}, with the settings that it needs"
        return Finding("error", f"{what}: no worker that is alive serves {queue}", mend)
    mend = f"if that lasts: raise WORKER_CONCURRENCY, or start another worker: {RUN}"
    return Finding("warning", f"{what}, although a worker is alive", mend)
