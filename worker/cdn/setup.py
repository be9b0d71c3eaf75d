"""Puts cdn together from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from worker.cdn.actions import SyncTrack
from worker.cdn.bulkhead import Bulkhead, kept_for_new, room_for_each
from worker.cdn.locations import Locations
from worker.cdn.originals import Reading
from worker.cdn.purge import cache_purge, no_purge
from worker.cdn.sending import Means
from worker.cdn.sidecar import MOST_BYTES
from worker.cdn.sources import Sources
from worker.cdn.store import CdnStore
from worker.cdn.target import CdnTarget
from worker.depot import Depot
from worker.download import Downloader
from worker.errors import Misconfigured
from worker.queue.store import WorkStore
from worker.settings import Settings, StorageAccess
from worker.storage.account import Account
from worker.storage.config import StorageTarget
from worker.storage.ledger import Ledger
from worker.storage.throttle import Turns, Unthrottled


@dataclass(frozen=True)
class Surroundings:
    """What cdn shares with the rest of the process; `team`: the primary storage."""

    store: WorkStore
    ledger: Ledger
    depot: Depot
    downloader: Downloader
    executor: Executor
    slots: int
    team: Account | None


def unthrottled(_access: StorageAccess) -> Turns:
    """No limit, whatever the settings say."""
    return Unthrottled()


def target_accounts(
    settings: Settings, *, throttle: Callable[[StorageAccess], Turns] = unthrottled
) -> Mapping[str, Account]:
    """The targets that are configured, by name, in the order of `CDN_TARGETS`."""
    access = {name: settings.cdn(name) for name in settings.cdn_targets}
    return {
        name: Account(StorageTarget.of(found), throttle=throttle(found))
        for name, found in access.items()
        if found is not None
    }


def sync_track(
    settings: Settings,
    register: CdnStore,
    accounts: Mapping[str, Account],
    around: Surroundings,
) -> SyncTrack:
    """The action, on these targets."""
    caches = cache_purge(settings)
    means = Means(around.depot, around.ledger, around.executor)
    shares = {"targets": len(settings.cdn_targets)}
    targets = {
        name: CdnTarget(
            account,
            means,
            prefixes={
                "audio": settings.cdn_audio_prefix,
                "sidecar": settings.cdn_metadata_prefix,
            },
            bulkhead=Bulkhead(
                room_for_each(around.slots, **shares), kept=kept_for_new(around.slots, **shares)
            ),
            holds=lambda work: around.store.holds("cdn", work),
            cached=caches is not no_purge and account.target.public_url != "",
        )
        for name, account in accounts.items()
    }
    return SyncTrack(
        register,
        _sources(settings, accounts, around),
        targets,
        caches,
        explain=lambda name: _explanation(settings, name),
        delays=settings.retry_delays,
    )


def _sources(settings: Settings, accounts: Mapping[str, Account], around: Surroundings) -> Sources:
    names = (
        settings.storage_source_bucket,  # first: that of plain keys
        *settings.track_buckets.values(),
    )
    team = [around.team.bucket(name) for name in names] if around.team else []
    targets = [account.bucket(account.target.bucket) for account in accounts.values()]
    audio = around.downloader.limited_to(settings.cdn_max_bytes)
    reading = Reading(audio, around.executor, most=settings.cdn_max_bytes)
    return Sources(Locations(team, targets), reading, around.downloader.limited_to(MOST_BYTES))


def _explanation(settings: Settings, name: str) -> str:
    said = f"the CDN target {name!r} is not configured"
    try:
        return f"{said}: set {', '.join(settings.cdn_missing(name))}"
    except Misconfigured:
        return f"{said}: add it to CDN_TARGETS, and set its CDN_{name.upper()}_… variables"
