"""`media-worker status` and `media-worker retry`: what the views show, and one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from worker.db.pool import Database
from worker.monitoring.tables import print_status

__all__ = ["print_status", "read_status", "retry_failed"]

Status = dict[str, Any]
T = TypeVar("T")

CALL_TIMEOUT = 60.0  # seconds: statistics over millions of tracks take a while
LOCK_TIMEOUT = 10.0  # seconds: nobody waits for us

QUEUES = "select * from public.queue_health order by queue"
WORKERS = "select * from public.worker_status order by alive desc, started_at"
CDN = """
    select s.* from public.cdn_statistics as s
    join media_worker.cdn_targets as t on t.name = s.target
    order by t.active desc, t.position, t.name
"""
CLEANUP = "select * from public.get_cleanup_queue_stats()"
HELD = "select kind, queue, held, too_many from media_worker.held_figures() where held > 0"
LIMITS = """
    select account, allowed, reset_at from media_worker.api_budgets
    where remaining = 0 and reset_at > clock_timestamp() order by account
"""
LIBRARY = """
    select f.*, s.total_assets, s.synced, s.success_rate, (
            select r.error_message from public.media_sync_runs as r
            where f.last_full_sync_status = 'failed' and r.status = 'failed'
                and r.single_asset is null
            order by r.completed_at desc limit 1) as last_full_sync_error
    from public.media_sync_status as f cross join public.get_media_statistics() as s
"""
ARCHIVE = "select * from public.archive_statistics"
PAUSED = """
    select queue, paused_at, until from media_worker.paused_queues
    where until is null or until > clock_timestamp() order by queue
"""
OUTAGES = "select service, since, next_probe_at, message from media_worker.outages order by service"


def read_status(conninfo: str) -> Status:
    """Queues, workers, each capability's figures, what keeps work waiting, as JSON knows values.

    Intervals are in seconds, times in ISO 8601. Raises `DatabaseUnavailable`, psycopg's errors.
    """
    return _with_database(conninfo, _read)


def retry_failed(conninfo: str, queue: str) -> int:
    """Have all failed work of a queue done again; returns how much that is.

    Raises `DatabaseUnavailable`, psycopg's errors.
    """
    return _with_database(conninfo, lambda database: _retry(database, queue))


async def _read(database: Database) -> Status:
    async def rows(query: str) -> list[dict[str, Any]]:
        return [_plain(row) for row in await database.call(query)]

    return {
        "queues": await rows(QUEUES),
        "workers": await rows(WORKERS),
        "archive": (await rows(ARCHIVE))[0],
        "cdn": await rows(CDN),
        "cleanup": (await rows(CLEANUP))[0],
        "sync": (await rows(LIBRARY))[0],
        "held": await rows(HELD),
        "limits": await rows(LIMITS),
        "paused": await rows(PAUSED),
        "outages": await rows(OUTAGES),
    }


async def _retry(database: Database, queue: str) -> int:
    rows = await database.call("select public.retry_failed(%s) as number", [queue])
    return int(rows[0]["number"])


def _with_database(conninfo: str, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        database = Database(conninfo, size=1, call_timeout=CALL_TIMEOUT, lock_timeout=LOCK_TIMEOUT)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
