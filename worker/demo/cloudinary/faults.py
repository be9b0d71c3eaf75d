"""Faults on demand, each for so many calls of a kind."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from worker.demo.cloudinary.budget import GENEROUS, Budget, exhausted
from worker.demo.cloudinary.calls import Call
from worker.demo.cloudinary.wire import Refused

Stage = Literal["before", "after"]

MESSAGES = {
    401: "Invalid credentials",
    403: "Not allowed",
    404: "Resource not found",
    409: "Already exists",
    429: "Too many requests",
    500: "General Error",
    503: "Service Unavailable",
}


class Hold:
    """Stops one call until it is released; `reached` is set once the call stands there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def release(self) -> None:
        """Let the call go on."""
        self.released.set()


@dataclass
class Fault:
    """What is to happen to the calls that match, `skip` of them spared first."""

    kind: str
    stage: Stage
    times: int
    skip: int
    refusal: Callable[[], Refused] | None = None
    cut: bool = False
    delay: float = 0.0
    hold: Hold | None = None
    where: Callable[[Call], bool] = field(default=lambda _: True)

    def concerns(self, call: Call) -> bool:
        named = self.kind in ("*", call.kind, call.api)
        return named and self.times > 0 and self.where(call)


class Faults:
    """Plans faults.

    `kind` is that of a call, an API's name (`admin`, `upload_api`, `delivery`), or `*`. The
    first `skip` calls are spared, the next `times` are hit; a call is hit by one fault at most, so
    that those that are planned one after the other strike one after the other. A fault strikes
    before anything happened; with `after_effect` the call has its effect and only the answer is
    concerned.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self.cursors = 0  # those that were given out for another number are refused

    def answer(
        self,
        kind: str,
        status: int,
        *,
        times: int = 1,
        skip: int = 0,
        after_effect: bool = False,
        message: str | None = None,
        reset_in: float | None = None,
        where: Callable[[Call], bool] = lambda _: True,
    ) -> None:
        """Answer with a status.

        With 420, or with `reset_in` seconds, the answer is that of an exhausted budget.
        """

        def refusal() -> Refused:
            if status == 420 or reset_in is not None:
                return exhausted(500, math.ceil(self._clock() + (reset_in or 0)), status)
            return Refused(status, message or MESSAGES.get(status, f"status {status}"))

        self._plan(Fault(kind, _stage(after_effect), times, skip, refusal, where=where))

    def cut(self, kind: str, *, times: int = 1, skip: int = 0, after_effect: bool = False) -> None:
        """Close the connection instead of an answer."""
        self._plan(Fault(kind, _stage(after_effect), times, skip, cut=True))

    def slow(
        self,
        kind: str,
        seconds: float,
        *,
        times: int = 1,
        skip: int = 0,
        after_effect: bool = False,
    ) -> None:
        """Wait before going on."""
        self._plan(Fault(kind, _stage(after_effect), times, skip, delay=seconds))

    def hang(self, kind: str, *, times: int = 1, skip: int = 0, after_effect: bool = False) -> None:
        """Never answer; the connection stays open."""
        self._plan(Fault(kind, _stage(after_effect), times, skip, delay=math.inf))

    def hold(
        self,
        kind: str,
        *,
        skip: int = 0,
        after_effect: bool = False,
        where: Callable[[Call], bool] = lambda _: True,
    ) -> Hold:
        """Stop one call until it is released."""
        hold = Hold()
        self._plan(Fault(kind, _stage(after_effect), 1, skip, hold=hold, where=where))
        return hold

    def limit(self, calls: int, *, period: float = 3600.0, status: int = 420) -> None:
        """Allow so many Admin API calls in each period (seconds); beyond it they get a status."""
        self._budget.set(calls, period=period, status=status)

    def expire_cursors(self) -> None:
        """Refuse every cursor that was given out so far."""
        self.cursors += 1

    def clear(self) -> None:
        """Forget what is planned, let go what is held, and be generous again."""
        with self._lock:
            for fault in self._planned:
                if fault.hold:
                    fault.hold.release()
            self._planned.clear()
        self._budget.set(GENEROUS)

    def take(self, call: Call, stage: Stage) -> Fault | None:
        """The fault that hits this call at this stage, the first that was planned."""
        with self._lock:
            concerned = [f for f in self._planned if f.stage == stage and f.concerns(call)]
            hit = next((fault for fault in concerned if not fault.skip), None)
            if hit:
                hit.times -= 1
            for fault in concerned:
                fault.skip = max(0, fault.skip - 1)
            return hit

    def _plan(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)


def _stage(after_effect: bool) -> Stage:
    return "after" if after_effect else "before"
