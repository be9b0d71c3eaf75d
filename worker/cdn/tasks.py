"""cdn's place in the queue: its kind of work and its duties."""

from __future__ import annotations

from collections.abc import Sequence

from worker.cdn.actions import SyncTrack
from worker.cdn.model import MOST_TRIES
from worker.cdn.store import CdnStore
from worker.queue.duties import Duty
from worker.queue.model import WorkKind, one_by_one

RECONCILED_AT_ONCE = 1000


def cdn_kind(action: SyncTrack) -> WorkKind:
    """A track on one target, one a job."""
    return WorkKind(
        name="cdn",
        queue="cdn",
        task="cdn.sync",
        act=one_by_one(action),
        max_attempts=MOST_TRIES,
        run_seconds=2 * 3600.0,
    )


def cdn_duties(store: CdnStore) -> Sequence[Duty]:
    """What finds the tracks that could not be asked for when they were written."""
    most = RECONCILED_AT_ONCE
    return (
        Duty(
            "ask for copies",
            20.0,
            lambda: store.reconcile(most=most),
            # some are held by others, and left for the next time: they must not slow the rest down
            batch=most // 2,
            in_one_go=True,
        ),
    )
