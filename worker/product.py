"""The one list of what this worker does: capabilities, each off without its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from worker.ability import Ability, Tools
from worker.archive.actions import ArchiveTrack
from worker.archive.model import FileRole
from worker.archive.refresh import RefreshEndpoint, no_refresh
from worker.archive.store import ArchiveStore
from worker.archive.tasks import archive_duties, archive_kind
from worker.archive.vault import TrackVault
from worker.cdn.setup import Surroundings, sync_track, target_accounts
from worker.cdn.store import CdnStore
from worker.cdn.tasks import cdn_duties, cdn_kind
from worker.check.buckets.places import places
from worker.check.model import Options
from worker.check.setup import CloudinaryPlace, Grounds
from worker.check.tasks import check_duty
from worker.cleanup.actions import DeleteObjects
from worker.cleanup.assets import DeleteAssets
from worker.cleanup.store import AssetCleanupStore, CleanupStore
from worker.cleanup.tasks import asset_cleanup_kind, cleanup_duty, storage_cleanup_kind
from worker.cloudinary import Account as CloudinaryAccount
from worker.cloudinary import AdminApi, AssetStore, Budget
from worker.cloudinary.library import Library
from worker.cloudinary.uploads import Uploads
from worker.ingest import Ingest
from worker.logging import get_logger
from worker.queue.duties import Duty
from worker.settings import Settings
from worker.settings.cloudinary import CloudinaryAccess
from worker.storage.account import Account, ObjectShredder
from worker.storage.config import StorageTarget
from worker.storage.recheck import Recheck
from worker.storage.store import ObjectStore
from worker.sync.setup import mirror
from worker.sync.tasks import sync_duties, sync_kinds

log = get_logger(__name__)


def product(tools: Tools) -> Sequence[Ability]:
    """All capabilities that the settings allow."""
    primary = storage_account(tools)
    targets = target_accounts(tools.settings, throttle=tools.throttles.of)
    account = cloudinary_account(tools)
    return [
        *storage_abilities(tools, primary),
        *cdn_abilities(tools, primary, targets),
        *cloudinary_abilities(tools, account),
        *check_abilities(tools, _grounds(tools.settings, primary, targets, account)),
    ]


def storage_account(tools: Tools) -> Account | None:
    """The team's primary storage; None where it is not configured."""
    access = tools.settings.storage(tools.settings.storage_audio_bucket)
    if access is None:
        return None
    return Account(StorageTarget.of(access), throttle=tools.throttles.of(access))


def track_buckets(settings: Settings, account: Account) -> Mapping[FileRole, ObjectStore]:
    """The buckets of tracks' files, by role."""
    return {role: account.bucket(name) for role, name in settings.track_buckets.items()}


def team_buckets(settings: Settings) -> set[str]:
    """The buckets whose objects are the team's own already."""
    return {*settings.track_buckets.values(), settings.storage_source_bucket}


def storage_abilities(tools: Tools, account: Account | None) -> Sequence[Ability]:
    """archive, and the deletion of what it has stored: off without a storage."""
    settings = tools.settings
    if account is None:
        return []
    ingest = Ingest(tools.downloader, tools.depot, tools.executor)
    recheck = _recheck(tools, account)
    shredder = DeleteObjects(
        CleanupStore(tools.database, tools.worker_id), ObjectShredder(account, tools.executor)
    )
    cleanup = storage_cleanup_kind(shredder, max_attempts=settings.cleanup_max_retries)
    look = cleanup_duty(tools.store, cleanup, every=settings.cleanup_interval)
    return [
        _archive(tools, account, ingest),
        Ability(kinds=(cleanup,), duties=(recheck, look), prepare=_deletions(tools)),
    ]


def cloudinary_abilities(tools: Tools, account: CloudinaryAccount | None) -> Sequence[Ability]:
    """The deletion of assets, and their mirror: off without an account."""
    settings = tools.settings
    if account is None or settings.cloudinary is None:
        return []
    batch = settings.cleanup_batch_size
    action = DeleteAssets(
        AssetCleanupStore(tools.database), AssetStore(account, batch=batch), batch=batch
    )
    kind = asset_cleanup_kind(action, max_attempts=settings.cleanup_max_retries)
    look = cleanup_duty(tools.store, kind, every=settings.cleanup_interval)
    return [
        Ability(kinds=(kind,), duties=(look,), prepare=_deletions(tools)),
        _sync(tools, account, settings.cloudinary),
    ]


def cloudinary_account(tools: Tools) -> CloudinaryAccount | None:
    """The team's account; None where none is configured."""
    access = tools.settings.cloudinary
    if access is None:
        return None
    api = AdminApi(access, connections=tools.slots)
    return CloudinaryAccount(api, Budget(tools.database, access.cloud_name), tools.executor)


def _sync(tools: Tools, account: CloudinaryAccount, access: CloudinaryAccess) -> Ability:
    settings = tools.settings
    uploads = Uploads(access, tools.executor, preset=settings.cloudinary_upload_preset)
    parts = mirror(tools.database, Library(account), uploads, policy=settings.sync_conflict_policy)
    duties = sync_duties(parts.store, retention_days=settings.work_retention_days)
    return Ability(kinds=sync_kinds(parts), duties=tuple(duties))


def _deletions(tools: Tools) -> Callable[[], object]:
    settings, store = tools.settings, AssetCleanupStore(tools.database)
    return lambda: store.configure(
        grace=settings.delete_grace, hold_above=settings.delete_hold_above
    )


def cdn_abilities(
    tools: Tools, primary: Account | None, accounts: Mapping[str, Account]
) -> Sequence[Ability]:
    """Copies on the CDN: off while no target is configured."""
    settings = tools.settings
    if not accounts:
        log.info("cdn is off: no target is configured", targets=settings.cdn_targets)
        return []
    store = CdnStore(tools.database)
    around = Surroundings(
        store=tools.store,
        ledger=tools.ledger,
        depot=tools.depot,
        downloader=tools.downloader,
        executor=tools.executor,
        slots=tools.slots,
        team=primary,
    )
    action = sync_track(settings, store, accounts, around)
    return [
        Ability(
            kinds=(cdn_kind(action),),
            duties=(*cdn_duties(store), *(_recheck(tools, each) for each in accounts.values())),
            prepare=lambda: store.configure(settings.cdn_targets),
        )
    ]


def check_abilities(tools: Tools, grounds: Grounds) -> Sequence[Ability]:
    """The daily comparison of rows with what is stored: off where nothing is."""
    settings = tools.settings
    if not grounds:
        return []
    options = Options(repair=settings.check_repair, max_deletions=settings.check_max_deletions)
    daily = check_duty(
        tools.database,
        tools.worker_id,
        grounds,
        tools.executor,
        daily_at=settings.check_daily_at,
        options=options,
    )
    return [Ability(duties=(daily,))]


def _grounds(
    settings: Settings,
    primary: Account | None,
    targets: Mapping[str, Account],
    account: CloudinaryAccount | None,
) -> Grounds:
    access = settings.cloudinary
    if account is None or access is None:
        return Grounds(places(settings, primary=primary, targets=targets))
    return Grounds(
        places(settings, primary=primary, targets=targets),
        CloudinaryPlace(access.cloud_name, Library(account)),
    )


def _recheck(tools: Tools, account: Account) -> Duty:
    service = account.target.service
    look = Recheck(
        tools.ledger, lambda _, name: account.bucket(name), tools.executor, services=[service]
    )
    return Duty(f"recheck objects on {service}", 60.0, look)


def _archive(tools: Tools, account: Account, ingest: Ingest) -> Ability:
    settings = tools.settings
    store = ArchiveStore(tools.database, language=settings.notification_language)
    prefixes = account.url_prefixes(team_buckets(settings))
    vault = TrackVault(
        ingest,
        track_buckets(settings, account),
        prefixes=prefixes,
        holds=lambda work: tools.store.holds("archive", work),
    )
    url = settings.archive_refresh_url
    refresh = RefreshEndpoint(str(url)) if url else no_refresh
    action = ArchiveTrack(store, vault, refresh, delays=settings.retry_delays)
    duties = archive_duties(
        store, daily_at=settings.archive_daily_at, daily_limit=settings.archive_daily_limit
    )
    return Ability(
        kinds=(archive_kind(action, store),),
        duties=tuple(duties),
        prepare=lambda: store.configure(prefixes),
    )
