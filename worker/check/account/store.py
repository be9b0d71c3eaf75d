"""What the database says of assets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from worker.check.account.model import Asset, AssetRow
from worker.check.inspection import BATCH
from worker.check.store import briefly
from worker.queue.store import Caller, Row, patiently

OWNERS = ("media_assets", "media_files")
ROWS_AT_ONCE = 5000


class AccountStore:
    """What rows say of assets, for one check (`run`)."""

    def __init__(self, database: Caller, run: UUID) -> None:
        self._database = database
        self._run = run

    @patiently
    async def seen(
        self, assets: Sequence[Asset], cut_off: datetime
    ) -> Sequence[Sequence[AssetRow]]:
        """All that is known of each asset; the rows are marked: their assets are there."""
        rows = await self._database.call(
            "select * from media_worker.check_assets("
            "%s, %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s)",
            (
                self._run,
                [asset.asset_id for asset in assets],
                [asset.resource_type for asset in assets],
                [asset.type for asset in assets],
                [asset.public_id for asset in assets],
                [asset.version for asset in assets],
                cut_off,
            ),
        )
        found: list[list[AssetRow]] = [[] for _ in assets]
        for row in rows:
            found[row.pop("n") - 1].append(AssetRow(**row))
        return found

    async def unseen(self, cut_off: datetime) -> AsyncIterator[Sequence[AssetRow]]:
        """Rows at rest whose assets were on no page, table by table."""
        for table in OWNERS:
            after: UUID | None = None
            while rows := await self._unseen(table, after, cut_off):
                last = [row.pop("last_id") for row in rows]
                wanted = [AssetRow(**row) for row in rows if row["owner_id"] is not None]
                for at in range(0, len(wanted), BATCH):
                    yield wanted[at : at + BATCH]
                after = last[0]

    @patiently
    async def still_wanted(self, rows: Sequence[AssetRow], cut_off: datetime) -> Sequence[AssetRow]:
        """Those that are as they were."""
        found: set[AssetRow] = set()
        for table in OWNERS:
            ids = [row.owner_id for row in rows if row.owner_table == table]
            found |= {
                AssetRow(**row)
                for row in await self._database.call(
                    "select * from media_worker.check_asset_rows(%s, %s::uuid[], %s)",
                    (table, ids, cut_off),
                )
            }
        return [row for row in rows if row in found]

    @briefly
    async def mend(self, row: AssetRow, finding: str, cut_off: datetime) -> str:
        """Begin the repair of a row; says what was done (`OUTCOMES`)."""
        return await self._said(
            "select media_worker.check_mend_asset(%s, %s, %s, %s) as said",
            (row.owner_table, row.owner_id, finding, cut_off),
        )

    @briefly
    async def delete(self, asset: Asset) -> str:
        """Ask again for the deletion of an asset; as `mend`."""
        return await self._said(
            "select media_worker.check_delete_asset(%s, %s, %s, %s) as said",
            (asset.resource_type, asset.type, asset.public_id, asset.version),
        )

    async def _said(self, query: str, params: Sequence[object]) -> str:
        rows = await self._database.call(query, params)
        return str(rows[0]["said"])

    @patiently
    async def _unseen(self, table: str, after: UUID | None, cut_off: datetime) -> list[Row]:
        return await self._database.call(
            "select * from media_worker.check_unseen_assets(%s, %s, %s::uuid, %s, %s)",
            (self._run, table, after, cut_off, ROWS_AT_ONCE),
        )
