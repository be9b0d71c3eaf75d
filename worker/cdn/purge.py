"""Has a CDN's cache forget what was overwritten or deleted behind it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import httpx

from worker.cdn.cloudflare import API, Cloudflare
from worker.cdn.model import PurgeRefused
from worker.errors import Busy
from worker.settings import Settings

MOST_URLS = 30  # in one request
GATHER_SECONDS = 0.1


class CachePurge(Protocol):
    """The cache in front of the CDN's targets."""

    async def purge(self, urls: Sequence[str]) -> None:
        """Have it forget these public URLs; returns once it has.

        Raises `Busy` where that has to be tried again, and says why; `PurgeRefused` where that
        would not help.
        """


class NoPurge:
    """There is no cache that could be told."""

    async def purge(self, urls: Sequence[str]) -> None:
        """Do nothing."""


no_purge: CachePurge = NoPurge()


def cache_purge(settings: Settings) -> CachePurge:
    """The cache that the settings name; none without `CLOUDFLARE_ZONE_ID` and its token."""
    zone, token = settings.cloudflare_zone_id, settings.cloudflare_api_token
    if zone is None or token is None:
        return no_purge
    return CloudflarePurge(zone, token.get_secret_value(), api=settings.cloudflare_api_base)


@dataclass(frozen=True)
class _Order:
    """What one caller waits for: never more URLs than one request takes."""

    urls: tuple[str, ...]
    done: asyncio.Future[None]

    def end(self, error: Exception | None) -> None:
        """Tell the caller, if there still is one, what came of it."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


@dataclass(frozen=True)
class _Trouble:
    """Why nothing is sent before `until` (of the monotonic clock)."""

    until: float
    message: str


class CloudflarePurge:
    """The cache of one Cloudflare zone.

    What callers ask for within `gather_seconds` goes out together, up to 30 URLs a request; each
    caller learns of its own URLs only. While the service as a whole does not work, callers are
    told so at once, and nothing is sent.
    """

    def __init__(
        self,
        zone_id: str,
        token: str,
        *,
        api: str = API,
        gather_seconds: float = GATHER_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cloudflare = Cloudflare(zone_id, token, api=api)
        self._gather_seconds = gather_seconds
        self._jitter = jitter
        self._waiting: list[_Order] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._trouble: _Trouble | None = None

    async def purge(self, urls: Sequence[str]) -> None:
        """Have the zone's cache forget these URLs, however many.

        Raises `Busy`, and `PurgeRefused` for URLs that are not of this zone.
        """
        trouble = self._current_trouble()
        if trouble is not None:
            raise self._told(trouble)
        loop = asyncio.get_running_loop()
        orders = [_Order(part, loop.create_future()) for part in _parts(urls)]
        self._add(orders)
        # a caller that is cancelled cancels its own orders, and harms nobody else's
        await asyncio.gather(*(order.done for order in orders))

    def _add(self, orders: Sequence[_Order]) -> None:
        if orders and not self._waiting:
            task = asyncio.create_task(self._send_soon(), name="purge the cache")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        self._waiting += orders

    async def _send_soon(self) -> None:
        await asyncio.sleep(self._gather_seconds)
        orders, self._waiting = self._waiting, []
        try:
            async with self._cloudflare.client() as client:
                for batch in _batches(order for order in orders if not order.done.done()):
                    await self._send(client, batch)
        except Exception as error:
            # a bug: whoever waits has to hear of it
            for order in orders:
                order.end(error)
        finally:
            for order in orders:
                order.done.cancel()

    async def _send(self, client: httpx.AsyncClient, batch: Sequence[_Order]) -> None:
        error = self._current_trouble() or await self._try(client, batch)
        if isinstance(error, PurgeRefused) and len(batch) > 1:
            # one caller's URL must not keep the others' from being purged
            for order in batch:
                await self._send(client, [order])
            return
        for order in batch:
            order.end(error and self._told(error))

    async def _try(self, client: httpx.AsyncClient, batch: Sequence[_Order]) -> Busy | None:
        urls = dict.fromkeys(url for order in batch for url in order.urls)
        try:
            await self._cloudflare.purge(client, list(urls))
        except PurgeRefused as error:
            return error
        except Busy as error:
            self._trouble = _Trouble(time.monotonic() + error.retry_after, str(error))
            return error
        return None

    def _current_trouble(self) -> Busy | None:
        trouble = self._trouble
        left = trouble.until - time.monotonic() if trouble else 0.0
        return Busy(trouble.message, retry_after=left) if trouble and left > 0 else None

    def _told(self, error: Busy) -> Busy:
        """The error for one caller, spread so that not all of them come again at once."""
        if isinstance(error, PurgeRefused):
            return error
        return Busy(str(error), retry_after=error.retry_after * (1 + self._jitter() / 4))


def _parts(urls: Sequence[str]) -> Iterator[tuple[str, ...]]:
    distinct = tuple(dict.fromkeys(urls))
    for start in range(0, len(distinct), MOST_URLS):
        yield distinct[start : start + MOST_URLS]


def _batches(orders: Iterable[_Order]) -> Iterator[list[_Order]]:
    batch: list[_Order] = []
    for order in orders:
        if sum(len(each.urls) for each in [*batch, order]) > MOST_URLS:
            yield batch
            batch = []
        batch.append(order)
    if batch:
        yield batch
