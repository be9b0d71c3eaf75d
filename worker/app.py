"""The composition root: the one list of what this worker does, and of what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from uuid import UUID, uuid4

from worker.archive.actions import ArchiveTrack
from worker.archive.model import FileRole
from worker.archive.refresh import RefreshEndpoint, no_refresh
from worker.archive.store import ArchiveStore
from worker.archive.tasks import archive_duties, archive_kind
from worker.archive.vault import SERVICE, TrackVault
from worker.cleanup.actions import DeleteObjects
from worker.cleanup.store import CleanupStore
from worker.cleanup.tasks import storage_cleanup_kind
from worker.db.pool import Database
from worker.download import Downloader, DownloadPolicy
from worker.errors import Misconfigured
from worker.ingest import Ingest
from worker.queue.connector import QueueConnector
from worker.queue.duties import Duty, kernel_duties
from worker.queue.isolation import Isolation
from worker.queue.kernel import Kernel
from worker.queue.lease import Lease
from worker.queue.model import WorkKind
from worker.queue.settlement import Settlement
from worker.queue.store import WorkStore
from worker.queue.timers import Alarm
from worker.queue.wakeups import Wakeups
from worker.settings import Settings
from worker.storage.account import Account, ObjectShredder
from worker.storage.config import StorageTarget
from worker.storage.ledger import Ledger
from worker.storage.recheck import Recheck
from worker.storage.store import ObjectStore
from worker.storage.transfer import Transfer

ISOLATED_MODULE = "worker.isolated"
QUEUES = ("archive", "cdn", "cleanup", "sync", "maintenance")


@dataclass(frozen=True)
class Ability:
    """What a capability brings: its kinds of work, its duties, and what it does at start."""

    kinds: tuple[WorkKind, ...] = ()
    duties: tuple[Duty, ...] = ()
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Tools:
    """What all capabilities of one process share."""

    settings: Settings
    database: Database
    store: WorkStore
    executor: ThreadPoolExecutor

    @property
    def worker_id(self) -> UUID:
        """This process, in the database."""
        return self.store.worker_id


@dataclass(frozen=True)
class Application:
    """A worker process, ready to run."""

    settings: Settings
    database: Database
    store: WorkStore
    kernel: Kernel
    wakeups: Wakeups
    lease: Lease
    duties: tuple[Duty, ...]
    prepare: tuple[Callable[[], object], ...]
    executor: ThreadPoolExecutor

    @property
    def kinds(self) -> Sequence[WorkKind]:
        """The kinds of work that this process does."""
        return tuple(self.kernel.kinds.values())


Capabilities = Callable[[Tools], Sequence[Ability]]


def product(tools: Tools) -> Sequence[Ability]:
    """All capabilities that the settings allow."""
    return [*storage_abilities(tools)]


def compose(
    settings: Settings,
    *,
    capabilities: Capabilities = product,
    queues: Sequence[str] | None = None,
    concurrency: int | None = None,
    worker_id: UUID | None = None,
    isolated_module: str | None = ISOLATED_MODULE,
    proven: Callable[[], None] = lambda: None,
) -> Application:
    """Put a worker together. Nothing is opened yet.

    `queues` narrows down what it does; `isolated_module` is what a row that crashed workers is
    run by, alone (None: nothing is run alone). `proven` is called on proof of progress.
    Raises `Misconfigured` without a database or for an unknown queue.
    """
    _check_queues(queues)
    slots = concurrency or settings.worker_concurrency
    tools = _tools(settings, slots, worker_id or uuid4())
    abilities = capabilities(tools)
    kinds = [kind for ability in abilities for kind in ability.kinds if _wanted(kind, queues)]
    alarm = Alarm()
    kernel = Kernel(
        store=tools.store,
        kinds={kind.name: kind for kind in kinds},
        settlement=Settlement(tools.store, delays=settings.retry_delays, alarm=alarm),
        concurrency=slots,
        isolation=_isolation(isolated_module, tools.worker_id),
    )
    duties = kernel_duties(kernel, alarm=alarm, retention_days=settings.work_retention_days)
    return Application(
        settings=settings,
        database=tools.database,
        store=tools.store,
        kernel=kernel,
        wakeups=_wakeups(settings, kinds, kernel, slots),
        lease=Lease(
            tools.store,
            version=version("media-worker"),
            queues=[kind.queue for kind in kinds],
            running=lambda: kernel.running,
            proven=proven,
        ),
        duties=(*duties, *(duty for ability in abilities for duty in ability.duties)),
        prepare=tuple(a.prepare for a in abilities if a.prepare is not None),
        executor=tools.executor,
    )


def storage_account(settings: Settings) -> Account | None:
    """The team's primary storage; None where it is not configured."""
    access = settings.storage(settings.storage_audio_bucket)
    if access is None:
        return None
    return Account(
        StorageTarget(
            service=SERVICE,
            endpoint=access.endpoint,
            region=access.region,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            bucket=access.bucket,
            public_url=settings.storage_public_url or "",
        )
    )


def track_buckets(settings: Settings, account: Account) -> Mapping[FileRole, ObjectStore]:
    """The buckets of tracks' files, by role."""
    return {
        "audio": account.bucket(settings.storage_audio_bucket),
        "cover": account.bucket(settings.storage_cover_bucket),
        "video": account.bucket(settings.storage_video_bucket),
    }


def team_buckets(settings: Settings) -> set[str]:
    """The buckets whose objects are the team's own already."""
    return {
        settings.storage_audio_bucket,
        settings.storage_cover_bucket,
        settings.storage_video_bucket,
        settings.storage_source_bucket,
    }


def storage_abilities(tools: Tools) -> Sequence[Ability]:
    """archive, and the deletion of what it has stored: off without a storage."""
    settings = tools.settings
    account = storage_account(settings)
    if account is None:
        return []
    ledger = Ledger(tools.database, tools.worker_id)
    ingest = Ingest(_downloader(settings), Transfer(), ledger, tools.executor)
    recheck = Duty("recheck objects", 60.0, Recheck(ledger, account.bucket, tools.executor))
    shredder = DeleteObjects(
        CleanupStore(tools.database, tools.worker_id), ObjectShredder(account, tools.executor)
    )
    cleanup = storage_cleanup_kind(shredder, max_attempts=settings.cleanup_max_retries)
    return [_archive(tools, account, ingest), Ability(kinds=(cleanup,), duties=(recheck,))]


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


def _tools(settings: Settings, slots: int, worker_id: UUID) -> Tools:
    database = Database(_conninfo(settings), size=min(slots, 8) + 2)
    return Tools(
        settings=settings,
        database=database,
        store=WorkStore(database, worker_id),
        # one thread a run, and some for the duties
        executor=ThreadPoolExecutor(slots + 4, thread_name_prefix="media-worker"),
    )


def _conninfo(settings: Settings) -> str:
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    return settings.database_url.get_secret_value()


def _downloader(settings: Settings) -> Downloader:
    return Downloader(
        DownloadPolicy(
            allowed_hosts=tuple(settings.download_allowed_hosts),
            allow_networks=tuple(settings.download_allow_networks),
            max_bytes=settings.download_max_bytes,
        )
    )


def _isolation(module: str | None, worker_id: UUID) -> Isolation | None:
    return None if module is None else Isolation(module, worker_id=worker_id)


def _wakeups(settings: Settings, kinds: Sequence[WorkKind], kernel: Kernel, slots: int) -> Wakeups:
    conninfo = _conninfo(settings)
    return Wakeups(lambda: QueueConnector(conninfo), kinds, kernel.wake, concurrency=slots)


def _check_queues(queues: Sequence[str] | None) -> None:
    unknown = sorted(set(queues or ()) - set(QUEUES))
    if unknown:
        raise Misconfigured(
            f"unknown queue {', '.join(unknown)}: the queues are {', '.join(QUEUES)}"
        )


def _wanted(kind: WorkKind, queues: Sequence[str] | None) -> bool:
    return queues is None or kind.queue in queues
