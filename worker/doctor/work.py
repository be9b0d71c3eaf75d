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
