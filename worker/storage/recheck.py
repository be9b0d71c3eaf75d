"""Looks again at objects that a lost run may have touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from worker.errors import WorkError
from worker.logging import get_logger
from worker.storage.ledger import Found, Ledger
from worker.storage.store import ObjectStore

log = get_logger(__name__)


class Recheck:
    """Compares suspect objects with the ledger, and closes uploads that a lost run left open."""

    def __init__(
        self, ledger: Ledger, bucket: Callable[[str], ObjectStore], executor: Executor
    ) -> None:
        self._ledger = ledger
        self._bucket = bucket
        self._executor = executor

    async def __call__(self) -> int:
        """Settle what is due for a look; returns how many objects that were."""
        rows = await self._ledger.to_recheck()
        for row in rows:
            try:
                found = await self._look(row)
            except WorkError as error:
                log.warning("a suspect object could not be looked at", error=str(error))
                return 0
            done = await self._ledger.settle(row["id"], found)
            log.info("suspect object", bucket=row["bucket"], key=row["object_key"], done=done)
        return len(rows)

    async def _look(self, row: dict[str, Any]) -> Found:
        loop = asyncio.get_running_loop()
        store, key = self._bucket(row["bucket"]), row["object_key"]
        await loop.run_in_executor(self._executor, store.abort_uploads, key)
        info = await loop.run_in_executor(self._executor, store.head, key)
        if info is None:
            return "absent"
        known = row["state"] != "intent" and row["etag"] is not None
        return (
            "same" if known and (info.etag, info.size) == (row["etag"], row["bytes"]) else "other"
        )
