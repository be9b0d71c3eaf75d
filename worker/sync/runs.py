"""What a comparison of media_assets with the account is: page by page, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, product
from time import monotonic
from typing import Any
from uuid import UUID

from worker.cloudinary.documents import RESOURCE_TYPES, TYPES
from worker.errors import Busy, ClaimLost, Permanent
from worker.queue.model import Again, Claimed, Failed, Outcome, Recorded
from worker.sync.model import Document, Kind, Reading, Run
from worker.sync.store import SyncStore

LISTINGS = tuple(Kind(*names) for names in product(RESOURCE_TYPES, TYPES))
# After so many seconds a run goes on as another try, so that it never outlives its time.
SLICE_SECONDS = 1500.0
# So often a listing begins anew: a cursor that is always refused must not use up all calls.
MOST_RESTARTS = 3
LOOKED_FOR_AT_ONCE = 100
WAIT_FOR_OTHER = 10.0  # seconds
WHAT_TO_DO = (
    "If the assets are really gone: media-worker sync --force --wait, or select"
    " request_media_sync(force => true). If not, it is another account: see CLOUDINARY_URL and"
    " CLOUDINARY_CLOUD_NAME"
)


class SyncAccount:
    """Compares all assets, or a single one; goes on from where a run that was cut off has been."""

    def __init__(self, store: SyncStore, account: Reading, *, refused: type[Exception]) -> None:
        self._store = store
        self._account = account
        self._refused = refused  # what the account raises for a cursor that has expired

    async def __call__(self, work: Claimed) -> Outcome:
        """Work on a run to its end, or as long as a try may take."""
        run = await self._store.begin(work)
        if run is None:
            raise ClaimLost("taken over")
        if run.another_runs:
            raise Busy("another comparison is under way", retry_after=WAIT_FOR_OTHER)
        if run.single_asset is not None:
            await self._single(work, run.single_asset)
        elif not await self._pages(work, run, until=monotonic() + SLICE_SECONDS):
            return Again("to be continued", None, counted=False)
        elif (excess := await self._excess(work, run)) is not None:
            return Failed(excess)
        else:
            await self._absences(work)
        ended = await self._store.end(work)
        return Recorded() if ended else _lost()

    async def _pages(self, work: Claimed, run: Run, *, until: float) -> bool:
        cursor: Mapping[str, Any] = run.cursor or _start(0)
        while int(cursor["listing"]) < len(LISTINGS):
            if monotonic() > until:
                return False
            cursor = await self._page(work, run, cursor)
        return True

    async def _page(self, work: Claimed, run: Run, cursor: Mapping[str, Any]) -> Mapping[str, Any]:
        place, again = int(cursor["listing"]), int(cursor.get("again", 0))
        here = cursor.get("next")
        looked_at = await self._store.now()
        try:
            page = await self._account.page(*LISTINGS[place], size=run.batch_size, cursor=here)
        except self._refused:
            if here is None or again == MOST_RESTARTS:
                raise
            # the cursor has expired: what was seen already is merely seen again
            return {**_start(place), "again": again + 1}
        following = {**cursor, "next": page.cursor} if page.cursor else _start(place + 1)
        await self._store.page(work, page.assets, looked_at, cursor=following)
        return following

    async def _excess(self, work: Claimed, run: Run) -> str | None:
        found = await self._store.missing(work, most=0)
        if run.force or 2 * found.missing <= found.known:
            return None
        return (
            f"{found.missing} of {found.known} rows have no asset at Cloudinary any more. That is"
            f" more than half of them, so none was marked deleted. {WHAT_TO_DO}"
        )

    async def _absences(self, work: Claimed) -> None:
        while rows := (await self._store.missing(work, most=LOOKED_FOR_AT_ONCE)).next:
            for kind, group in groupby(rows, key=_kind):
                await self._look_for(work, kind, list(group))

    async def _look_for(self, work: Claimed, kind: Kind, rows: Sequence[Document]) -> None:
        looked_at = await self._store.now()
        found = await self._account.look(*kind, [row["public_id"] for row in rows])
        names = {asset["public_id"] for asset in found}
        there = [UUID(row["id"]) for row in rows if row["public_id"] in names]
        gone = [UUID(row["id"]) for row in rows if row["public_id"] not in names]
        end = _start(len(LISTINGS))
        await self._store.page(work, found, looked_at, cursor=end, asked=there)
        await self._store.run_absent(work, gone, looked_at)

    async def _single(self, work: Claimed, public_id: str) -> None:
        known = await self._store.known([{"public_id": public_id}])
        named = {_kind(row) for row in known} | {Kind(name, "upload") for name in RESOURCE_TYPES}
        looked_at = await self._store.now()
        found = [a for kind in sorted(named) for a in await self._account.look(*kind, [public_id])]
        if not found and not known:
            raise Permanent(f"neither Cloudinary nor media_assets has an asset {public_id}")
        await self._store.page(work, found, looked_at, cursor=_start(len(LISTINGS)))
        there = {_kind(asset) for asset in found}
        gone = [UUID(row["id"]) for row in known if _kind(row) not in there]
        await self._store.run_absent(work, gone, looked_at)


def _start(place: int) -> Mapping[str, Any]:
    return {"listing": place}


def _kind(row: Mapping[str, Any]) -> Kind:
    return Kind(row["resource_type"], row["type"])


def _lost() -> Outcome:
    raise ClaimLost("taken over")
