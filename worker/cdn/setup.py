"""Puts cdn together from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.ability import Ability, Tools
from worker.cdn.actions import SyncTrack
from worker.cdn.bulkhead import Bulkhead, kept_for_new, room_for_each
from worker.cdn.locations import Locations
from worker.cdn.model import FileRole
from worker.cdn.originals import Reading
from worker.cdn.purge import cache_purge, no_purge
from worker.cdn.sending import Means
from worker.cdn.sidecar import MOST_BYTES
from worker.cdn.sources import Sources
from worker.cdn.store import CdnStore
from worker.cdn.target import CdnTarget
from worker.cdn.tasks import cdn_duties, cdn_kind
from worker.errors import Misconfigured
from worker.settings import Settings, StorageAccess
from worker.storage.account import Account
from worker.storage.config import StorageTarget
from worker.storage.recheck import recheck_duty
from worker.storage.throttle import Turns, Unthrottled


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


def copying(tools: Tools, accounts: Mapping[str, Account], team: Account | None) -> Ability:
    """Copies on these targets; `team`: the primary storage."""
    settings, store = tools.settings, CdnStore(tools.database)
    caches = cache_purge(settings)
    action = SyncTrack(
        store,
        _sources(tools, accounts, team),
        _targets(tools, accounts, cached=caches is not no_purge),
        caches,
        explain=lambda name: _explanation(settings, name),
        delays=settings.retry_delays,
    )
    rechecks = (recheck_duty(tools.ledger, each, tools.executor) for each in accounts.values())
    return Ability(
        kinds=(cdn_kind(action),),
        duties=(*cdn_duties(store), *rechecks),
        prepare=lambda: store.configure(settings.cdn_targets),
    )


def _targets(
    tools: Tools, accounts: Mapping[str, Account], *, cached: bool
) -> Mapping[str, CdnTarget]:
    settings, number = tools.settings, len(tools.settings.cdn_targets)
    room = room_for_each(tools.slots, targets=number)
    kept = kept_for_new(tools.slots, targets=number)
    prefixes: dict[FileRole, str] = {
        "audio": settings.cdn_audio_prefix,
        "sidecar": settings.cdn_metadata_prefix,
    }
    return {
        name: CdnTarget(
            account,
            Means(tools.depot, tools.ledger, tools.executor),
            prefixes=prefixes,
            bulkhead=Bulkhead(room, kept=kept),
            holds=lambda work: tools.store.holds("cdn", work),
            cached=cached and account.target.public_url != "",
        )
        for name, account in accounts.items()
    }


def _sources(tools: Tools, accounts: Mapping[str, Account], team: Account | None) -> Sources:
    settings = tools.settings
    names = (
        settings.storage_source_bucket,  # first: that of plain keys
        *settings.track_buckets.values(),
    )
    ours = [team.bucket(name) for name in names] if team else []
    targets = [account.bucket(account.target.bucket) for account in accounts.values()]
    audio = tools.downloader.limited_to(settings.cdn_max_bytes)
    reading = Reading(audio, tools.executor, most=settings.cdn_max_bytes)
    return Sources(Locations(ours, targets), reading, tools.downloader.limited_to(MOST_BYTES))


def _explanation(settings: Settings, name: str) -> str:
    said = f"the CDN target {name!r} is not configured"
    try:
        return f"{said}: set {', '.join(settings.cdn_missing(name))}"
    except Misconfigured:
        return f"{said}: add it to CDN_TARGETS, and set its CDN_{name.upper()}_… variables"
