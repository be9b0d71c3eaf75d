"""Rows that somebody's open transaction holds: they are tried again, as one set, with backoff."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

from worker.logging import get_logger
from worker.queue.store import PASSING, WorkStore

log = get_logger(__name__)
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0


class Held:
    """Remembers held rows and queues them once they are free.

    They are forgotten when the process dies; the reconciler finds them then.
    """

    def __init__(self, store: WorkStore) -> None:
        self._store = store
        self._ids: dict[str, set[UUID]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    def add(self, kind: str, ids: Iterable[UUID]) -> None:
        """Watch these rows too."""
        waiting = self._ids.setdefault(kind, set())
        waiting.update(ids)
        if waiting and kind not in self._watches:
            self._watches[kind] = asyncio.create_task(self._watch(kind), name=f"held {kind}")

    def stop(self) -> dict[str, set[UUID]]:
        """Watch no more; returns the rows that were still held, by kind."""
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()
        left, self._ids = self._ids, {}
        return {kind: ids for kind, ids in left.items() if ids}

    async def _watch(self, kind: str) -> None:
        wait = FIRST_WAIT
        while self._ids[kind]:
            await asyncio.sleep(wait)
            asked = set(self._ids[kind])
            still = await self._wake(kind, asked)
            self._ids[kind] -= asked - still
            wait = FIRST_WAIT if len(still) < len(asked) else min(wait * 2, LONGEST_WAIT)
        # here and not in a callback: a row that is added in between would have no watch
        del self._watches[kind]

    async def _wake(self, kind: str, ids: set[UUID]) -> set[UUID]:
        try:
            return set(await self._store.wake_held(kind, list(ids)))
        except PASSING as error:
            log.debug("held rows could not be looked at", kind=kind, error=str(error))
        except Exception:
            log.exception("held rows could not be looked at", kind=kind)
        return ids
