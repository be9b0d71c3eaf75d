"""sync's place in the queue: its kinds of work and its duties."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

from worker.queue.duties import Duty
from worker.queue.model import WorkKind, one_by_one
from worker.sync.events import ApplyNotifications
from worker.sync.model import MOST_TRIES
from worker.sync.pushes import PushChanges
from worker.sync.runs import SyncAccount
from worker.sync.store import SyncStore

NIGHTLY_AT = time(2, 0)  # UTC
RECONCILED_AT_ONCE = 1000


def sync_kinds(
    store: SyncStore, *, runs: SyncAccount, pushes: PushChanges, events: ApplyNotifications
) -> tuple[WorkKind, ...]:
    """Runs one a job, pushes and notifications in sets."""
    return (
        WorkKind(
            "media_sync", "sync", "sync.run", one_by_one(runs), MOST_TRIES,
            on_failure=store.run_failed,
        ),
        WorkKind(
            "media_push", "sync", "sync.push", pushes, MOST_TRIES,
            on_failure=store.push_failed,
        ),
        WorkKind(
            "media_webhook", "sync", "sync.notifications", events, MOST_TRIES,
            run_seconds=600.0,
        ),
    )  # fmt: skip


def sync_duties(store: SyncStore, *, retention_days: int) -> Sequence[Duty]:
    """What keeps the mirror whole and its log short."""
    return (
        Duty(
            "ask for pushes",
            20.0,
            lambda: store.reconcile(most=RECONCILED_AT_ONCE),
            batch=RECONCILED_AT_ONCE,
            in_one_go=True,
        ),
        Duty("nightly sync", 60.0, lambda: store.nightly(at=NIGHTLY_AT.isoformat())),
        Duty("add up the library", 60.0, store.fold),
        Duty("forget the sync log", 3600.0, lambda: store.forget(retention_days)),
    )
