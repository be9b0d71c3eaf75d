"""Puts archive together from the settings."""

from __future__ import annotations

from worker.ability import Ability, Tools
from worker.archive.actions import ArchiveTrack
from worker.archive.refresh import RefreshEndpoint, no_refresh
from worker.archive.store import ArchiveStore
from worker.archive.tasks import archive_duties, archive_kind
from worker.archive.vault import TrackVault
from worker.ingest import Ingest
from worker.settings import Settings
from worker.storage.account import Account


def archiving(tools: Tools, account: Account) -> Ability:
    """Archiving into the buckets of this account."""
    settings = tools.settings
    store = ArchiveStore(tools.database, language=settings.notification_language)
    prefixes = account.url_prefixes(_team_buckets(settings))
    url = settings.archive_refresh_url
    refresh = RefreshEndpoint(str(url)) if url else no_refresh
    vault = TrackVault(
        Ingest(tools.downloader, tools.depot, tools.executor),
        {role: account.bucket(name) for role, name in settings.track_buckets.items()},
        prefixes=prefixes,
        holds=lambda work: tools.store.holds("archive", work),
    )
    action = ArchiveTrack(store, vault, refresh, delays=settings.retry_delays)
    duties = archive_duties(
        store, daily_at=settings.archive_daily_at, daily_limit=settings.archive_daily_limit
    )
    return Ability(
        kinds=(archive_kind(action, store),),
        duties=tuple(duties),
        prepare=lambda: store.configure(prefixes),
    )


def _team_buckets(settings: Settings) -> set[str]:
    """The buckets whose objects are the team's own already."""
    return {*settings.track_buckets.values(), settings.storage_source_bucket}
