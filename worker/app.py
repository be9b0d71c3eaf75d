"""The composition root: what a worker process is made of."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from uuid import UUID, uuid4

from worker.ability import Capabilities, Tools
from worker.db.pool import Database
from worker.depot import Depot
from worker.download import Downloader, DownloadPolicy
from worker.errors import Misconfigured
from worker.product import product
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
from worker.storage.ledger import Ledger
from worker.storage.rates import SharedRates
from worker.storage.throttle import Throttles
from worker.storage.transfer import Transfer

ISOLATED_MODULE = "worker.isolated"
QUEUES = ("archive", "cdn", "cleanup", "sync", "maintenance")


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


def _tools(settings: Settings, slots: int, worker_id: UUID) -> Tools:
    database = Database(_conninfo(settings), size=min(slots, 8) + 2)
    # one thread a run, and some for the duties
    executor = ThreadPoolExecutor(slots + 4, thread_name_prefix="media-worker")
    ledger = Ledger(database, worker_id)
    tls = ssl.create_default_context()
    return Tools(
        settings=settings,
        database=database,
        store=WorkStore(database, worker_id),
        executor=executor,
        ledger=ledger,
        depot=Depot(Transfer(tls=tls), ledger, executor),
        downloader=Downloader(_download_policy(settings), tls=tls),
        throttles=Throttles(SharedRates(database)),
        slots=slots,
    )


def _download_policy(settings: Settings) -> DownloadPolicy:
    return DownloadPolicy(
        allowed_hosts=tuple(settings.download_allowed_hosts),
        allow_networks=tuple(settings.download_allow_networks),
        max_bytes=settings.download_max_bytes,
    )


def _conninfo(settings: Settings) -> str:
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    return settings.database_url.get_secret_value()


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
