"""The right to send requests to a storage, shared by all workers: asked for from any thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

# After so many seconds it counts as no answer: requests wait for it.
ANSWER_SECONDS = 1.0


class Caller(Protocol):
    """The part of `worker.db.pool.Database` that is used here."""

    async def call(self, query: str, params: Sequence[Any] | None = None) -> list[Any]: ...


@dataclass(frozen=True)
class SlowDown:
    """The storage asked for fewer requests, and for none at all during `pause` seconds.

    `used`: requests a second that this process sent; `freely`: without asking anybody.
    """

    used: float
    freely: bool
    pause: float = 0.0


@dataclass(frozen=True)
class Grant:
    """The right to so many requests, the first in `wait` seconds, the others at `per_second`.

    No requests: ask again after `wait` seconds. `per_second` is None when there is no limit.
    """

    requests: int
    wait: float
    per_second: float | None


class Rates(Protocol):
    """Who gives the right to requests."""

    def take(
        self, service: str, wanted: int, *, limit: float, slow_down: SlowDown | None
    ) -> Future[Grant]: ...


class SharedRates:
    """Asks the database. Made on the event loop that the database is used on."""

    def __init__(self, database: Caller) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()

    def take(
        self, service: str, wanted: int, *, limit: float, slow_down: SlowDown | None
    ) -> Future[Grant]:
        """Ask for `wanted` requests; `limit` a second are allowed, 0: any number.

        The future fails where the database does not answer within ANSWER_SECONDS.
        """
        asking = self._take(service, wanted, limit, slow_down)
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError as error:  # the loop is closed
            asking.close()
            failed: Future[Grant] = Future()
            failed.set_exception(error)
            return failed

    async def _take(
        self, service: str, wanted: int, limit: float, slow_down: SlowDown | None
    ) -> Grant:
        told = slow_down or SlowDown(0.0, False)
        async with asyncio.timeout(ANSWER_SECONDS):
            rows = await self._database.call(
                "select * from media_worker.take_requests("
                "%s, %s, %s::float8, %s, %s::float8, %s, %s::float8)",
                (
                    *(service, wanted, limit, slow_down is not None),
                    *(told.used, told.freely, told.pause),
                ),
            )
        return Grant(rows[0]["requests"], rows[0]["wait"], rows[0]["pace"])
