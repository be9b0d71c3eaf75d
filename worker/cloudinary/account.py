"""The account, for coroutines: its calls leave the event loop alone and keep within the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from enum import Enum
from functools import partial
from typing import Any

from worker.cloudinary.admin import AdminApi, Method
from worker.cloudinary.budget import Budget
from worker.cloudinary.failures import Limited, body_of
from worker.cloudinary.limits import LimitLog
from worker.settings.cloudinary import CloudinaryAccess


class Keep(Enum):
    """Which share of the account's calls a call leaves for others."""

    NOTHING = 0.0
    DELETIONS = 0.2  # what a full sync must not use up


REASONS = {
    Keep.NOTHING: "no calls of the Admin API are left",
    Keep.DELETIONS: "no calls of the Admin API are left, but for deletions",
}


class Account:
    """Calls the Admin API.

    Its errors: `Outage` (`cloudinary`: unreachable, 5xx, 401, 403), `Limited` (nothing was
    called, or nothing carried out: the rate limit), `NotFound` (404), `Refused` (other 4xx).
    """

    def __init__(self, api: AdminApi, budget: Budget, executor: Executor) -> None:
        self._api = api
        self._budget = budget
        self._executor = executor
        self._limits = LimitLog()

    @property
    def access(self) -> CloudinaryAccess:
        """Which account this is, and what opens it."""
        return self._api.access

    async def call(
        self,
        method: Method,
        path: Sequence[str],
        params: Mapping[str, Any],
        *,
        keep: Keep = Keep.NOTHING,
    ) -> Mapping[str, Any]:
        """Call `path` (its parts, unquoted) with `params`; returns the answer's body."""
        try:
            return await self._call(method, path, params, keep)
        except Limited as limited:
            self._limits.say(limited, reason=REASONS[keep])
            raise

    async def _call(
        self, method: Method, path: Sequence[str], params: Mapping[str, Any], keep: Keep
    ) -> Mapping[str, Any]:
        await self._budget.take(share_kept=keep.value)
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(
            self._executor, partial(self._api.call, method, path, params)
        )
        await self._budget.note(answer)
        return body_of(answer)
