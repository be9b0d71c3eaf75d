"""sync's SQL calls."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from worker.errors import Busy, ClaimLost
from worker.queue.model import Claimed
from worker.queue.store import Caller, patiently, plain_text
from worker.sync.model import Document, Event, Kind, Missing, Policy, Push, Run

CLAIM_LOST = "MW001"
P = ParamSpec("P")
T = TypeVar("T")


def _recording(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Translate what only recording can meet."""

    @functools.wraps(call)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except errors.UniqueViolation as error:
            raise Busy("the application has just inserted a row for the asset") from error
        except errors.DatabaseError as error:
            if error.sqlstate == CLAIM_LOST:
                raise ClaimLost("taken over") from error
            raise

    return translated


class SyncStore:
    """Reads what is to be made the same, and records what was. `policy` decides conflicts."""

    def __init__(self, database: Caller, *, policy: Policy = "newest") -> None:
        self._database = database
        self._policy = policy

    @patiently
    async def now(self) -> datetime:
        """The database's clock: looks are told by it."""
        moment: datetime = await self._one("select clock_timestamp() as one")
        return moment

    @_recording
    @patiently
    async def mirror(self, found: Sequence[Document], looked_at: datetime, *, source: str) -> None:
        """Make rows the same as assets that were looked at then."""
        await self._one(
            "select media_worker.mirror_assets(%s, %s, %s, %s) as one",
            Jsonb(list(found)), looked_at, self._policy, source,
        )  # fmt: skip

    @patiently
    async def absent(self, ids: Sequence[UUID], looked_at: datetime, *, source: str) -> int:
        """These rows' assets were looked for then, and are not there."""
        return int(
            await self._one(
                "select media_worker.mirror_absent(%s::uuid[], %s, %s) as one",
                list(ids), looked_at, source,
            )
        )  # fmt: skip

    # Runs

    @patiently
    async def begin(self, work: Claimed) -> Run | None:
        """What a claimed run is to do; None when the claim is lost."""
        found = await self._one(
            "select media_worker.sync_run_begin(%s, %s) as one", work.id, work.token
        )
        return None if found is None else Run(**found)

    @_recording
    @patiently
    async def page(
        self,
        work: Claimed,
        found: Sequence[Document],
        looked_at: datetime,
        *,
        cursor: Mapping[str, Any],
        asked: Sequence[UUID] = (),
    ) -> None:
        """Record a page, and where the run goes on. `asked`: rows that were looked for by name."""
        await self._one(
            "select media_worker.sync_run_page(%s, %s, %s, %s, %s, %s, %s::uuid[]) as one",
            work.id, work.token, Jsonb(list(found)), looked_at, Jsonb(dict(cursor)), self._policy,
            list(asked),
        )  # fmt: skip

    @patiently
    async def missing(self, work: Claimed, *, most: int) -> Missing:
        """Which rows' assets the run has not seen."""
        return Missing(
            **await self._one("select media_worker.sync_run_missing(%s, %s) as one", work.id, most)
        )

    @_recording
    @patiently
    async def run_absent(self, work: Claimed, ids: Sequence[UUID], looked_at: datetime) -> None:
        """These rows' assets are not there."""
        await self._one(
            "select media_worker.sync_run_absent(%s, %s, %s::uuid[], %s) as one",
            work.id, work.token, list(ids), looked_at,
        )  # fmt: skip

    @patiently
    async def end(
        self, work: Claimed, *, status: str = "completed", message: str | None = None
    ) -> bool:
        """End a run; False: the claim is lost."""
        return bool(
            await self._one(
                "select media_worker.sync_run_end(%s, %s, %s, %s) as one",
                work.id, work.token, status, None if message is None else plain_text(message),
            )
        )  # fmt: skip

    async def run_failed(self, work: Claimed, message: str) -> None:
        """A run is given up."""
        await self.end(work, status="failed", message=message)

    # Pushes

    @patiently
    async def pushes(self, works: Sequence[Claimed]) -> list[Push]:
        """The rows of claimed pushes as they are now."""
        rows = await self._database.call(
            "select id, asset, gone, mine, base, uploads from media_worker.push_load(%s, %s)",
            ([work.id for work in works], works[0].token),
        )
        return [Push(**row) for row in rows]

    @_recording
    @patiently
    async def uploaded(
        self, work: Claimed, found: Document, *, source_url: str, looked_at: datetime
    ) -> str:
        """A row's source_url was uploaded: `recorded`, `gone`, `taken` or `claim lost`."""
        return str(
            await self._one(
                "select media_worker.push_uploaded(%s, %s, %s, %s, %s, %s) as one",
                work.id, work.token, Jsonb(found), source_url, looked_at, self._policy,
            )
        )  # fmt: skip

    @_recording
    @patiently
    async def changed(
        self, work: Claimed, pushed: Document, *, operation: str, started: datetime
    ) -> str:
        """These values are at Cloudinary now: `recorded` or `claim lost`."""
        return str(
            await self._one(
                "select media_worker.push_changed(%s, %s, %s, %s, %s) as one",
                work.id, work.token, Jsonb(pushed), operation, started,
            )
        )  # fmt: skip

    @patiently
    async def name_is_leaving(self, kind: Kind, public_id: str) -> bool:
        """Whether the asset that has the name is about to lose it."""
        return bool(
            await self._one(
                "select media_worker.name_is_leaving(%s, %s, %s) as one", *kind, public_id
            )
        )

    @patiently
    async def name_is_being_deleted(self, type: str, public_id: str) -> bool:
        """Whether a deletion by this name, of whatever resource type, is under way just now."""
        return bool(
            await self._one(
                "select media_worker.deletion_is_under_way(null, %s, %s) as one", type, public_id
            )
        )

    @patiently
    async def push_failed(self, work: Claimed, message: str) -> None:
        """A push is given up: the row says why."""
        await self._one(
            "select media_worker.push_failed(%s, %s, %s) as one", work.id, work.token, message
        )

    # Notifications

    @patiently
    async def events(self, works: Sequence[Claimed]) -> list[Event]:
        """Claimed notifications, the oldest first."""
        rows = await self._database.call(
            "select * from media_worker.webhook_load(%s, %s)",
            ([work.id for work in works], works[0].token),
        )
        return [Event(**row) for row in rows]

    @patiently
    async def known(self, names: Sequence[Document]) -> list[Document]:
        """The live rows of assets that are named."""
        rows = await self._database.call(
            "select media_worker.known_assets(%s) as doc", (Jsonb(list(names)),)
        )
        return [row["doc"] for row in rows]

    @patiently
    async def events_ended(
        self,
        token: UUID,
        ids: Sequence[UUID],
        outcomes: Sequence[str],
        messages: Sequence[str | None],
    ) -> None:
        """What came of claimed notifications; those with a message are logged as skipped."""
        await self._one(
            "select media_worker.webhook_ended(%s, %s::uuid[], %s::text[], %s::text[]) as one",
            token, list(ids), list(outcomes), list(messages),
        )  # fmt: skip

    # Duties

    async def reconcile(self, *, most: int) -> int:
        """Ask for pushes that nobody has asked for."""
        return int(await self._one("select media_worker.sync_reconcile(%s) as one", most))

    async def nightly(self, *, at: str) -> int:
        """Ask for the nightly comparison, once a night."""
        return int(await self._one("select media_worker.sync_nightly(%s) as one", at))

    async def fold(self) -> int:
        """Add up what is counted."""
        return int(await self._one("select media_worker.fold_media_counts() as one"))

    async def forget(self, days: int) -> int:
        """Delete old lines of the log, once a day."""
        return int(await self._one("select media_worker.sync_forget(%s) as one", days))

    async def _one(self, query: str, *params: Any) -> Any:
        rows = await self._database.call(query, params)
        return rows[0]["one"]
