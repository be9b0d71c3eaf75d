"""archive's place in the queue: its kind of work and its duties."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

from worker.archive.actions import ArchiveTrack
from worker.archive.store import ArchiveStore
from worker.queue.duties import Duty
from worker.queue.model import WorkKind, one_by_one

FULL_LOOK_SECONDS = 300.0
# What one statement looks at: where there is more, the next one follows at once.
BATCH = 1000


def archive_kind(action: ArchiveTrack, store: ArchiveStore) -> WorkKind:
    """Tracks are archived one a job; their own deadline, not a number, ends the tries."""
    return WorkKind(
        name="archive",
        queue="archive",
        task="archive.track",
        act=one_by_one(action),
        max_attempts=10_000,
        run_seconds=2 * 3600.0,
        on_failure=store.fail,
    )


def archive_duties(store: ArchiveStore, *, daily_at: time, daily_limit: int) -> Sequence[Duty]:
    """What brings due tracks in, and finds those that were missed."""
    return (
        Duty("archive due tracks", 10.0, lambda: store.promote(everything=False), batch=BATCH),
        Duty(
            "archive missed tracks",
            FULL_LOOK_SECONDS,
            lambda: store.promote(everything=True),
            batch=BATCH,
            in_one_go=True,
        ),
        Duty("schedule tracks", 60.0, store.schedule_missing, batch=BATCH, in_one_go=True),
        Duty("overlooked tracks", 10.0, store.overlooked, batch=BATCH, in_one_go=True),
        Duty(
            "daily archiving",
            60.0,
            lambda: store.daily(at=daily_at.isoformat(), limit=daily_limit),
        ),
    )
