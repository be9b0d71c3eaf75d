"""Does the CDN have what it needs, and does every target that holds copies still belong to it?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from urllib.parse import urlsplit

from worker.cdn.purge import CachePurge, cache_purge, no_purge
from worker.db.pool import Database, Row
from worker.doctor.model import WHERE, Finding
from worker.errors import Busy
from worker.settings import Settings
from worker.storage.config import StorageTarget

# No track's object: to have the cache forget it changes nothing.
PROBE = "media-worker-doctor"

TARGETS = """
    select t.name, t.active,
        (select count(*) from public.cdn_sync_jobs as j
         where j.target = t.name and j.status in ('pending', 'processing')) as waiting,
        (select count(*) from media_worker.objects as o
         where o.service = 'cdn:' || t.name) as objects,
        exists (select from public.worker_status as w
                where w.alive and 'cdn' = any (w.queues)) as is_served
    from media_worker.cdn_targets as t
    order by t.position, t.name
"""
POSTPONED = """
    select count(distinct p.track_hash) as tracks from media_worker.cdn_postponed as p
    where not exists (select from media_worker.cdn_targets as t where t.active)
"""


def check_cdn_settings(settings: Settings) -> Iterator[Finding]:
    """Which targets are configured, and what the others lack."""
    if settings.cdn_lacking:
        names = ", ".join(settings.cdn_lacking)
        yield Finding("note", f"cdn is off, its work waits: {names} not set", _set(names))
        return
    for name in settings.cdn_targets:
        missing = ", ".join(settings.cdn_missing(name))
        if missing:
            what = f"the CDN target {name} is off, its work waits: {missing} not set"
            yield Finding("warning", what, _set(missing))
        else:
            yield Finding("ok", f"the CDN target {name} is configured")


def check_purge(settings: Settings) -> list[Finding]:
    """Does Cloudflare purge what is asked of it? Asks for a URL that nobody uses."""
    purge = cache_purge(settings)
    if purge is no_purge:
        return []
    accesses = (settings.cdn(name) for name in settings.cdn_targets)
    targets = [StorageTarget.of(access) for access in accesses if access and access.public_url]
    if not targets:
        what = "CLOUDFLARE_ZONE_ID is set, but no CDN target has a public URL: nothing is purged"
        return [Finding("warning", what, f"set R2_PUBLIC_URL {WHERE}")]
    return asyncio.run(_probe_all(purge, targets, prefix=settings.cdn_audio_prefix))


def cdn_check(settings: Settings) -> Callable[[Database], Awaitable[Sequence[Finding]]]:
    """The check of what the database knows of targets, against these settings."""

    async def check_cdn(database: Database) -> Sequence[Finding]:
        rows = await database.call(TARGETS)
        waiting = (await database.call(POSTPONED))[0]["tracks"]
        return [
            *_target_findings(rows, settings),
            *_disagreement(rows, settings),
            *_without_any_target(waiting, settings),
        ]

    return check_cdn


async def _probe_all(
    purge: CachePurge, targets: Sequence[StorageTarget], *, prefix: str
) -> list[Finding]:
    return list(await asyncio.gather(*(_probe(purge, target, prefix) for target in targets)))


async def _probe(purge: CachePurge, target: StorageTarget, prefix: str) -> Finding:
    host = urlsplit(target.public_url).hostname
    try:
        await purge.purge([f"{target.public_url}/{prefix}/{PROBE}"])
    except Busy as error:
        names = f"CLOUDFLARE_ZONE_ID, CLOUDFLARE_API_TOKEN and {target.setting('PUBLIC_URL')}"
        mend = f"check {names}; what is to be purged waits, and goes on by itself"
        return Finding("error", f"{host}: {error}", mend)
    return Finding("ok", f"Cloudflare purges the cache of {host}")


def _target_findings(rows: Sequence[Row], settings: Settings) -> Iterator[Finding]:
    for row in rows:
        name, waiting, objects = row["name"], row["waiting"], row["objects"]
        if name not in settings.cdn_targets and (waiting or objects):
            what = f"the CDN target {name} is in CDN_TARGETS no more:"
            counts = f"it holds objects of ours: {objects}; work that waits for it: {waiting}"
            yield Finding("warning", f"{what} {counts}", _retired(name))
        elif name in settings.cdn_targets and waiting and settings.cdn_missing(name):
            what = f"work waits for the CDN target {name}, which is not configured: {waiting}"
            yield Finding("warning", what, _set(", ".join(settings.cdn_missing(name))))


def _retired(name: str) -> str:
    return (
        f"name {name} in CDN_TARGETS again, with its settings, so that its objects"  # noqa: S608
        " go with their tracks; or, if the bucket is gone for good:"
        f" delete from cdn_sync_jobs where target = '{name}';"
        f" delete from media_worker.objects where service = 'cdn:{name}'"
    )


def _disagreement(rows: Sequence[Row], settings: Settings) -> Iterator[Finding]:
    known = [row["name"] for row in rows if row["active"]]
    if any(row["is_served"] for row in rows) and known != list(settings.cdn_targets):
        what = f"the workers that are alive name the CDN targets {', '.join(known) or 'none'}"
        here = ",".join(settings.cdn_targets)
        mend = "set the same CDN_TARGETS for all of them and here, then start the workers again"
        yield Finding("warning", f"{what}, and CDN_TARGETS here is {here}", mend)


def _without_any_target(waiting: int, settings: Settings) -> Iterator[Finding]:
    if waiting:
        lacking = ", ".join(settings.cdn_lacking)
        mend = _set(lacking) if lacking else "media-worker run"
        yield Finding("warning", f"tracks wait until a CDN target is known: {waiting}", mend)


def _set(names: str) -> str:
    return f"set {names} {WHERE}"
