"""What the database says is in buckets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from worker.check.buckets.claims import Claim
from worker.check.buckets.model import Expected
from worker.check.buckets.places import Form, Place
from worker.check.store import briefly
from worker.queue.store import Caller, Row, patiently

PAGE = 1000
ROWS_AT_ONCE = 5000


class BucketStore:
    """What the database says is in the buckets, for one check (`run`)."""

    def __init__(self, database: Caller, run: UUID) -> None:
        self._database = database
        self._run = run

    @patiently
    async def unrecorded_tracks(self, after: UUID | None) -> list[Row]:
        """Files that the next tracks say are stored and that the ledger does not know.

        `last_id`, in every row, is where the next page begins; no row: there are no more tracks.
        """
        return await self._database.call(
            "select * from media_worker.check_unrecorded_tracks(%s::uuid, %s)",
            (after, ROWS_AT_ONCE),
        )

    @patiently
    async def claim(self, owner_table: str, claims: Sequence[Claim]) -> None:
        """Note what rows say, to be compared with the buckets."""
        await self._database.call(
            "select media_worker.check_claim("
            "%s, %s::text[], %s::text[], %s::text[], %s, %s::text[], %s::text[], %s::text[])",
            (
                self._run,
                [claim.place.service for claim in claims],
                [claim.place.bucket for claim in claims],
                [claim.key for claim in claims],
                owner_table,
                [claim.owner_id for claim in claims],
                [claim.role for claim in claims],
                [claim.url for claim in claims],
            ),
        )

    @patiently
    async def claim_copies(self, place: Place, form: Form, after: str | None) -> str | None:
        """Note which of the next tracks say that their copy is in the place, and the ledger knows
        nothing of it. Returns where the next page begins; None: there are no more tracks.
        """
        rows = await self._database.call(
            "select media_worker.check_claim_copies(%s, %s, %s, %s, %s, %s, %s) as last",
            (self._run, place.service, place.bucket, form.prefix, form.suffix, after, ROWS_AT_ONCE),
        )
        last: str | None = rows[0]["last"]
        return last

    @patiently
    async def named(self, track_ids: Sequence[str]) -> set[str]:
        """Those of the tracks that are there and belong on the CDN."""
        rows = await self._database.call(
            "select media_worker.check_named_copies(%s::text[]) as id", (list(track_ids),)
        )
        return {row["id"] for row in rows}

    async def expected(self, place: Place, cut_off: datetime) -> AsyncIterator[Expected]:
        """All that is known of the place's keys, in byte order."""
        after, below = place.prefix, place.below
        while page := await self._page(place, after, below, cut_off):
            for row in page:
                yield row
            after = page[-1].object_key

    @patiently
    async def look(self, place: Place, keys: Sequence[str], cut_off: datetime) -> set[Expected]:
        """What is known of these keys now."""
        rows = await self._database.call(
            "select * from media_worker.check_rows(%s, %s, %s, %s::text[], %s)",
            (self._run, place.service, place.bucket, list(keys), cut_off),
        )
        return {Expected(**row) for row in rows}

    @briefly
    async def mend(self, row: Expected, finding: str) -> str:
        """Begin the repair of an object of the ledger; says what was done (`OUTCOMES`)."""
        return await self._said(
            "select media_worker.check_mend(%s, %s, %s) as said",
            (row.object_id, row.updated_at, finding),
        )

    @briefly
    async def disclaim(self, place: Place, row: Expected) -> str:
        """Have a row say no more that its file is there; as `mend`."""
        return await self._said(
            "select media_worker.check_disclaim(%s, %s, %s, %s, %s, %s, %s) as said",
            (self._run, place.service, place.bucket, row.object_key, row.owner_table,
             row.owner_id, row.role),
        )  # fmt: skip

    async def _said(self, query: str, params: Sequence[object]) -> str:
        rows = await self._database.call(query, params)
        return str(rows[0]["said"])

    @patiently
    async def _page(
        self, place: Place, after: str, below: str | None, cut_off: datetime
    ) -> list[Expected]:
        rows = await self._database.call(
            "select * from media_worker.check_page(%s, %s, %s, %s, %s, %s, %s)",
            (self._run, place.service, place.bucket, after, below, cut_off, PAGE),
        )
        return [Expected(**row) for row in rows]
