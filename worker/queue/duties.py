"""What a worker does besides its work: one loop each, and none stops another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.logging import get_logger
from worker.queue.kernel import Kernel
from worker.queue.store import PASSING
from worker.queue.timers import Alarm

log = get_logger(__name__)


@dataclass(frozen=True)
class Duty:
    """Something to be done every so many seconds. `do` returns how much there was to do.

    `alarm` makes it come earlier. Having done as much as `batch`, it is done again at once.
    `in_one_go`: it brings work in, so a worker that is to work until nothing is due does it too.
    Over all workers one does it at a time: the statement that it sends sees to that.
    """

    name: str
    every: float
    do: Callable[[], Awaitable[int]]
    alarm: Alarm | None = None
    batch: int | None = None
    in_one_go: bool = False

    async def run_for_ever(self) -> None:
        """Do it at once, and then again and again."""
        while True:
            done = await self.run_once()
            if self.batch is not None and done >= self.batch:
                continue
            if self.alarm is not None:
                await self.alarm.wait(self.every)
            else:
                await asyncio.sleep(self.every)

    async def run_once(self) -> int:
        """Do it; an error is logged, and the next time is as good as any."""
        try:
            done = await self.do()
        except PASSING as error:
            log.debug("duty put off", duty=self.name, error=str(error))
            return 0
        except Exception:
            log.exception("duty failed", duty=self.name)
            return 0
        if done:
            log.info("duty done", duty=self.name, count=done)
        return done


def kernel_duties(kernel: Kernel, *, alarm: Alarm, retention_days: int) -> list[Duty]:
    """The kernel's own: rescue, promotion, reconciling, forgetting."""
    store, kinds = kernel.store, list(kernel.kinds)
    return [
        Duty("rescue", 5.0, store.rescue, batch=1000, in_one_go=True),
        Duty("disown", 20.0, kernel.disown),
        Duty("promote", 10.0, store.promote, alarm, batch=5000, in_one_go=True),
        Duty("reconcile", 20.0, lambda: store.reconcile(kinds), batch=10_000, in_one_go=True),
        Duty("forget", 600.0, lambda: store.forget(retention_days)),
    ]
