"""How often a storage is asked: within a limit over all workers, and less when it asks for that."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar

from worker.errors import Busy
from worker.logging import get_logger
from worker.settings import StorageAccess
from worker.storage.failures import Refusal
from worker.storage.pacing import Meter, Schedule, Share
from worker.storage.rates import Grant, Rates, SlowDown

log = get_logger(__name__)
# Between two looks whether the work goes on.
STEP_SECONDS = 0.5
# Of requests that are asked for at once; enough to fetch the next ones ahead of need.
BLOCK_SECONDS = 0.5
AHEAD = 2
LONGEST_WAIT = 300.0
# How long this process goes by itself before it asks a database again that did not answer.
ON_OWN_SECONDS = 2.0
# A storage that only refuses for so long is not too busy, but out of order.
PATIENCE_SECONDS = 2.5
LEAST_RATE = 1.0
FIRST_SHARE = 0.1

_going_on: ContextVar[Callable[[], None] | None] = ContextVar("going_on", default=None)


@contextmanager
def giving_way(going_on: Callable[[], None]) -> Iterator[None]:
    """What waits for its turn in this block calls `going_on` twice a second, which may raise."""
    before = _going_on.set(going_on)
    try:
        yield
    finally:
        _going_on.reset(before)


class Throttle:
    """Paces the requests to one account of a storage. For any number of threads, of one process.

    `limit` is in requests a second over all workers, 0: none. Without one, nothing is asked of
    `rates` before the storage itself asks for fewer requests. Without an answer of `rates` this
    process goes on with as much as was its share before.
    """

    def __init__(
        self,
        service: str,
        rates: Rates,
        *,
        limit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._rates = rates
        self._limit = limit
        self._clock = clock
        self._changed = threading.Condition()
        self._paid = threading.local()
        self._meter = Meter()
        self._schedule = Schedule()
        self._share = Share(limit * FIRST_SHARE)
        self._free = limit == 0
        self._waiting = 0
        self._asked: Future[Grant] | None = None
        self._ask_again_at = 0.0
        self._on_own = False
        self._to_tell: SlowDown | None = None
        self._slowed_at = -math.inf
        self._refused_since: float | None = None

    def acquire(self) -> None:
        """Wait until one request may go out.

        Raises what `giving_way` has it raise, and `Busy` where there is no turn for minutes.
        """
        if self._free:
            with self._changed:
                self._meter.note(self._clock())
        elif vars(self._paid).pop("ahead", False):
            return
        else:
            self._wait_until(self._next_moment())

    def acquire_ahead(self) -> None:
        """Wait now, so that the next `acquire` of this thread does not.

        For what has to be looked at after the wait and right before the request.
        """
        if not self._free and not vars(self._paid).get("ahead"):
            self.acquire()
            self._paid.ahead = True

    def heed(self, answer: Refusal) -> bool:
        """Whether an answer, of whatever status, asks for fewer requests; that then happens.

        False where nothing better has come for a while: the storage is rather out of order.
        """
        if answer.is_slow_down:
            return self._is_slowed_by(answer)
        if answer.status >= 500:
            self.failed()
        else:
            self._refused_since = None
        return False

    def failed(self) -> None:
        """There was no answer, or one that no slow-down explains."""
        self._refused_since = -math.inf

    def _is_slowed_by(self, refusal: Refusal) -> bool:
        now = self._clock()
        with self._changed:
            if self._refused_since is None:
                self._refused_since = now
            since = self._refused_since
            self._slow_down(refusal.retry_after or 0.0, now)
        return now - since < PATIENCE_SECONDS

    def _slow_down(self, pause: float, now: float) -> None:
        if now - self._slowed_at < 1 and not self._free:
            return
        self._slowed_at = now
        used = max(self._meter.per_second(now), LEAST_RATE)
        log.warning("the storage asks for fewer requests", service=self._service, sent=used)
        self._to_tell = SlowDown(used, self._free, pause)
        if self._free:
            self._share = Share(used)
            self._free = False
        # below that, the database would not even be asked soon after it is back
        self._share.halve(least=1 / ON_OWN_SECONDS)
        self._schedule.clear()
        self._ask(now)

    def _next_moment(self) -> float:
        give_up_at = self._clock() + LONGEST_WAIT
        with self._changed:
            self._meter.note(self._clock())
            self._waiting += 1
            try:
                while (moment := self._take()) is None:
                    _look_whether_it_goes_on()
                    if self._clock() > give_up_at:
                        raise Busy(f"{self._service}: too many requests wait for their turn")
                    self._changed.wait(self._pause())
            finally:
                self._waiting -= 1
        return moment

    def _take(self) -> float | None:
        now = self._clock()
        moment = now if self._free else self._schedule.take(now)
        if not self._free and self._schedule.end(now) <= now + BLOCK_SECONDS / 2:
            self._ask(now, ahead=moment is not None)
        return moment

    def _pause(self) -> float:
        if self._asked is None:
            return min(max(self._ask_again_at - self._clock(), 0.01), STEP_SECONDS)
        return STEP_SECONDS

    def _wait_until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0:
            _look_whether_it_goes_on()
            time.sleep(min(left, STEP_SECONDS))
        _look_whether_it_goes_on()

    def _ask(self, now: float, *, ahead: bool = False) -> None:
        wanted = max(self._waiting, math.ceil(self._meter.per_second(now) * BLOCK_SECONDS))
        if self._asked or now < self._ask_again_at or (ahead and wanted < AHEAD):
            return
        told = self._to_tell
        self._asked = self._rates.take(
            self._service, max(wanted, 1), limit=self._limit, slow_down=told
        )
        self._asked.add_done_callback(lambda answer: self._hear(answer, told))

    def _hear(self, answer: Future[Grant], told: SlowDown | None) -> None:
        with self._changed:
            self._asked = None
            if answer.cancelled() or answer.exception():
                self._go_on_alone(self._clock())
            else:
                self._go_on_with(answer.result(), told, self._clock())
            if self._to_tell:
                self._ask(self._clock())
            self._changed.notify_all()

    def _go_on_with(self, grant: Grant, told: SlowDown | None, now: float) -> None:
        if self._to_tell is told:
            self._to_tell = None
        self._on_own = False
        if grant.per_second is None:
            self._free = self._to_tell is None
            self._schedule.clear()
            return
        start = now + grant.wait
        self._share.granted(start, grant.per_second, grant.requests)
        if grant.requests:
            self._schedule.add(start, grant.per_second, grant.requests)
        else:
            self._ask_again_at = start

    def _go_on_alone(self, now: float) -> None:
        if not self._on_own:
            self._on_own = True
            log.warning(
                "the database does not say how many requests may be sent; going on with the last",
                service=self._service,
                per_second=round(self._share.per_second, 2),
            )
        pace = self._share.per_second
        count = max(int(pace * ON_OWN_SECONDS), 1)
        self._schedule.add(self._schedule.end(now), pace, count)
        self._ask_again_at = self._schedule.end(now) - BLOCK_SECONDS


class Unthrottled:
    """Lets every request go out at once; what a refusal means is said by its status alone."""

    def acquire(self) -> None:
        """Nothing to wait for."""

    def acquire_ahead(self) -> None:
        """Nothing to wait for."""

    def heed(self, _answer: Refusal) -> bool:
        """Nothing changes by it."""
        return False

    def failed(self) -> None:
        """Nothing changes by it."""


Turns = Throttle | Unthrottled


class Throttles:
    """The throttles of one process, one for each account."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._made: dict[str, Throttle] = {}

    def of(self, access: StorageAccess) -> Throttle:
        """That of the account, with the limit of its settings."""
        name = access.service
        if name not in self._made:
            self._made[name] = Throttle(name, self._rates, limit=access.rate_limit)
        return self._made[name]


def _look_whether_it_goes_on() -> None:
    if going_on := _going_on.get():
        going_on()
