"""Keeps this worker's claims alive, and proves to the watchdog that it makes progress."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

from worker.logging import get_logger
from worker.queue.store import PASSING, WorkStore

log = get_logger(__name__)
BEAT_SECONDS = 5.0


class Lease:
    """The worker's row in the database and its heartbeat.

    `proven` is called after each heartbeat that was committed, and after each that has failed
    within its deadline: either shows that the process is not stuck.
    """

    def __init__(
        self,
        store: WorkStore,
        *,
        version: str,
        queues: Sequence[str],
        running: Callable[[], int],
        proven: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._version = version
        self._queues = sorted(set(queues))
        self._running = running
        self._proven = proven
        self._available = True

    async def beat(self) -> None:
        """Register, or keep the registration alive."""
        await self._store.beat(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            queues=self._queues,
            running=self._running(),
        )

    async def keep(self) -> None:
        """Beat for ever."""
        while True:
            if await self._beat_once():
                self._proven()
            await asyncio.sleep(BEAT_SECONDS)

    async def end(self) -> None:
        """Say that the worker has stopped in order; without that, others wait for its lease."""
        try:
            await self._store.leave()
        except PASSING as error:
            log.warning("could not sign off", error=str(error))

    async def _beat_once(self) -> bool:
        try:
            await self.beat()
        except PASSING as error:
            if self._available:
                log.error("the database is away; trying again until it is back", error=str(error))
            self._available = False
            return True
        except Exception:
            log.exception("the heartbeat failed: other workers will take this one for dead")
            return False
        if not self._available:
            log.info("the database is back")
        self._available = True
        return True
