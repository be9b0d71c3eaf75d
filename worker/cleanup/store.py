"""cleanup's SQL calls."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from worker.cleanup.model import Deletion
from worker.queue.model import Claimed
from worker.queue.store import Caller, patiently


class CleanupStore:
    """Judges deletions and records that they were carried out, for one worker process."""

    def __init__(self, database: Caller, worker_id: UUID) -> None:
        self._database = database
        self._worker_id = worker_id

    @patiently
    async def begin(self, works: Sequence[Claimed]) -> list[Deletion]:
        """What is to be done about each deletion now; objects that are to go are claimed."""
        rows = await self._database.call(
            "select * from media_worker.storage_cleanup_begin(%s, %s, %s)",
            ([work.id for work in works], works[0].token, self._worker_id),
        )
        return [
            Deletion(row["id"], row["bucket"], row["object_key"], row["verdict"], row["uncertain"])
            for row in rows
        ]

    @patiently
    async def end(self, ids: Sequence[UUID], token: UUID) -> None:
        """The objects are gone: the ledger forgets them."""
        await self._database.call(
            "select media_worker.storage_cleanup_end(%s, %s)", (list(ids), token)
        )

    @patiently
    async def release(self, ids: Sequence[UUID], token: UUID) -> None:
        """The deletions were not carried out: others may have the objects."""
        await self._database.call(
            "select media_worker.storage_cleanup_release(%s, %s)", (list(ids), token)
        )
