"""The alarm that wakes the promotion for a retry that is near."""

from __future__ import annotations

import asyncio
import time

from worker.queue.timers import HORIZON_SECONDS, Alarm


async def waited(alarm: Alarm, at_most: float) -> float:
    """Seconds until the alarm lets go."""
    began = time.monotonic()
    await alarm.wait(at_most)
    return time.monotonic() - began


async def test_without_an_announcement_it_waits_as_long_as_it_may() -> None:
    assert 0.2 <= await waited(Alarm(), 0.2) < 2


async def test_every_announced_time_rings() -> None:
    alarm = Alarm()
    alarm.in_seconds(0.6)
    alarm.in_seconds(0.2)
    first, second = await waited(alarm, 30), await waited(alarm, 30)
    assert 0.2 <= first < 5 and 0.2 <= second < 5
    assert await waited(alarm, 0.1) >= 0.1


async def test_announcement_during_the_wait_shortens_it() -> None:
    alarm = Alarm()
    waiting = asyncio.create_task(waited(alarm, 30))
    await asyncio.sleep(0)
    alarm.in_seconds(0.1)
    assert await waiting < 5


async def test_what_is_far_away_is_left_to_the_rhythm() -> None:
    alarm = Alarm()
    alarm.in_seconds(HORIZON_SECONDS + 1)
    assert await waited(alarm, 0.1) >= 0.1
