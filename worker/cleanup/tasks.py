"""cleanup's place in the queue: its kind of work."""

from __future__ import annotations

from worker.cleanup.actions import DeleteObjects
from worker.queue.model import WorkKind


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
