"""cleanup's place in the queue: its kind of work."""

from __future__ import annotations

from worker.cleanup.actions import DeleteObjects
from worker.cleanup.assets import DeleteAssets
from worker.queue.duties import Duty
from worker.queue.model import WorkKind
from worker.queue.store import WorkStore

RECONCILED_AT_ONCE = 10_000


def storage_cleanup_kind(action: DeleteObjects, *, max_attempts: int) -> WorkKind:
    """Deletions go in sets."""
    return WorkKind(
        name="storage_cleanup",
        queue="cleanup",
        task="cleanup.storage_objects",
        act=action,
        max_attempts=max_attempts,
        run_seconds=600.0,
    )


def asset_cleanup_kind(action: DeleteAssets, *, max_attempts: int) -> WorkKind:
    """Deletions of assets go in sets, too."""
    return WorkKind(
        name="asset_cleanup",
        queue="cleanup",
        task="cleanup.assets",
        act=action,
        max_attempts=max_attempts,
        run_seconds=600.0,
        set_size=100,
    )


def cleanup_duty(store: WorkStore, kind: WorkKind, *, every: float) -> Duty:
    """Looks at what is still pending, whether anybody was notified of it or not."""
    return Duty(
        f"look at pending work: {kind.name}",
        every,
        lambda: store.reconcile([kind.name]),
        batch=RECONCILED_AT_ONCE,
    )
