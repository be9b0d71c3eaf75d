"""The calls that the account's rate limit leaves, shared by all workers through the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.cloudinary.answers import Answer, Limit
from worker.cloudinary.failures import LIMITED, MARGIN, USUAL_PAUSE, limited
from worker.queue.store import Caller, patiently


class Budget:
    """Takes calls out of the account's budget before they are made."""

    def __init__(self, database: Caller, account: str) -> None:
        self._database = database
        self._account = account

    @patiently
    async def take(self, *, share_kept: float = 0.0) -> None:
        """Take one call; `share_kept` of all calls are left for others.

        Raises `Limited` when there is none.
        """
        rows = await self._database.call(
            "select media_worker.take_api_call(%s, %s::float8) as seconds",
            (self._account, share_kept),
        )
        if rows[0]["seconds"] > 0:
            raise limited(rows[0]["seconds"] + MARGIN)

    @patiently
    async def note(self, answer: Answer) -> None:
        """Remember what an answer says about the budget."""
        limit = answer.limit
        if answer.status in LIMITED and limit is None:
            limit = Limit(0, 0, datetime.now(UTC) + timedelta(seconds=USUAL_PAUSE))
        if limit is not None:
            await self._database.call(
                "select media_worker.note_api_budget(%s, %s, %s, %s)",
                (self._account, limit.allowed, limit.remaining, limit.reset_at),
            )
