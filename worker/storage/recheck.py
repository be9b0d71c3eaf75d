"""Looks again at objects that a lost run may have touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from uuid import UUID, uuid4

from worker.errors import WorkError
from worker.logging import get_logger
from worker.queue.duties import Duty
from worker.queue.store import Row
from worker.storage.account import Account
from worker.storage.ledger import Found, Ledger
from worker.storage.store import ObjectStore

log = get_logger(__name__)
MOST_AT_ONCE = 100


def recheck_duty(ledger: Ledger, account: Account, executor: Executor) -> Duty:
    """Looks at the suspect objects of an account, once a minute."""
    service = account.target.service
    look = Recheck(ledger, lambda _, name: account.bucket(name), executor, services=[service])
    return Duty(f"recheck objects on {service}", 60.0, look)


class Recheck:
    """Compares suspect objects with the ledger, and closes uploads that a lost run left open.

    `store` opens a bucket of one of the `services`, given their names.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Callable[[str, str], ObjectStore],
        executor: Executor,
        *,
        services: Sequence[str],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._executor = executor
        self._services = services

    async def __call__(self) -> int:
        """Settle what is due for a look; returns how many objects that were."""
        for done in range(MOST_AT_ONCE):
            token = uuid4()
            row = await self._ledger.begin_recheck(token, services=self._services)
            if row is None or not await self._settle(row, token):
                return done
        return MOST_AT_ONCE

    async def _settle(self, row: Row, token: UUID) -> bool:
        """False when the storage does not answer: it is not asked again now."""
        found: Found = "unknown"
        try:
            found = await self._look(row)
        except WorkError as error:
            log.warning("a suspect object could not be looked at", error=str(error))
        done = await self._ledger.end_recheck(row["id"], found, token=token)
        place = {"service": row["service"], "bucket": row["bucket"], "key": row["object_key"]}
        log.info("suspect object", **place, done=done)
        return found != "unknown"

    async def _look(self, row: Row) -> Found:
        loop = asyncio.get_running_loop()
        store, key = self._store(row["service"], row["bucket"]), row["object_key"]
        await loop.run_in_executor(self._executor, store.abort_uploads, key)
        info = await loop.run_in_executor(self._executor, store.head, key)
        if info is None:
            return "absent"
        known = row["state"] != "intent" and row["etag"] is not None
        is_same = known and (info.etag, info.size) == (row["etag"], row["bytes"])
        return "same" if is_same else "other"
