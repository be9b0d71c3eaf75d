"""cleanup's SQL calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from worker.cleanup.model import AssetDeletion, Deletion, Permission, Target
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


class AssetCleanupStore:
    """Judges deletions of assets, and records what came of them."""

    def __init__(self, database: Caller) -> None:
        self._database = database

    @patiently
    async def configure(self, *, grace: float, hold_above: int) -> None:
        """Tell the database DELETE_GRACE (seconds) and DELETE_HOLD_ABOVE."""
        await self._database.call(
            "select media_worker.cleanup_configure(%s::float8, %s)", (grace, hold_above)
        )

    @patiently
    async def begin(self, works: Sequence[Claimed]) -> list[AssetDeletion]:
        """The deletions as they are now; one whose claim is lost is missing."""
        rows = await self._database.call(
            "select * from media_worker.asset_cleanup_begin(%s, %s)",
            ([work.id for work in works], works[0].token),
        )
        return [AssetDeletion(**row) for row in rows]

    @patiently
    async def send(self, targets: Sequence[Target], token: UUID) -> Mapping[UUID, Permission]:
        """The last word on each; what may be sent is marked as sent."""
        rows = await self._database.call(
            "select * from media_worker.asset_cleanup_send(%s, %s, %s, %s::text[])",
            (
                [t.id for t in targets],
                token,
                [t.resource_type for t in targets],
                [t.asset_id for t in targets],
            ),
        )
        return {row["id"]: Permission(row["verdict"], row["used_by"]) for row in rows}

    @patiently
    async def refused(self, targets: Sequence[Target], token: UUID) -> None:
        """Certainly nothing was deleted: the mark is taken back."""
        await self._database.call(
            "select media_worker.asset_cleanup_refused(%s, %s, %s)",
            ([t.id for t in targets], token, [t.resource_type for t in targets]),
        )

    @patiently
    async def end(
        self, targets: Sequence[Target], token: UUID, *, milliseconds: int
    ) -> Mapping[UUID, str | None]:
        """The assets are gone; returns what there is to be said of each."""
        rows = await self._database.call(
            "select * from media_worker.asset_cleanup_end"
            "(%s, %s, %s, %s::bigint[], %s::text[], %s::boolean[], %s)",
            (
                [t.id for t in targets],
                token,
                [t.resource_type for t in targets],
                [t.version for t in targets],
                [t.asset_id for t in targets],
                [t.was_there for t in targets],
                milliseconds,
            ),
        )
        return {row["id"]: row["note"] for row in rows}
