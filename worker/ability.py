"""What a capability brings to a worker process, and what it finds there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from worker.db.pool import Database
from worker.depot import Depot
from worker.download import Downloader
from worker.queue.duties import Duty
from worker.queue.model import WorkKind
from worker.queue.store import WorkStore
from worker.settings import Settings
from worker.storage.ledger import Ledger
from worker.storage.throttle import Throttles


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
    ledger: Ledger
    depot: Depot
    downloader: Downloader
    throttles: Throttles
    slots: int

    @property
    def worker_id(self) -> UUID:
        """This process, in the database."""
        return self.store.worker_id


Capabilities = Callable[[Tools], Sequence[Ability]]
