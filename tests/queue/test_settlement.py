"""When what waits for a service is woken: once work that needs it has come to its end."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from worker.errors import Outage, WorkError
from worker.queue.model import Again, Claimed, Done, Failed, Outcome, Recorded, WorkKind, one_by_one
from worker.queue.settlement import Settlement


async def nothing(_: Claimed) -> Outcome:
    return Done()


KIND = WorkKind(name="test", queue="test", task="test", act=one_by_one(nothing), max_attempts=3)


class Store:
    """Takes every result."""

    def __getattr__(self, name: str) -> Any:
        async def take(*_: object, **__: object) -> None:
            pass

        return take


class Rings:
    """An alarm that keeps what it was told, in seconds."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def in_seconds(self, delay: float) -> None:
        self.told.append(delay)


@pytest.fixture
def rings() -> Rings:
    return Rings()


@pytest.fixture
def settlement(rings: Rings) -> Settlement:
    return Settlement(Store(), delays=(3600.0,), alarm=rings)  # type: ignore[arg-type]


async def settle(settlement: Settlement, outcome: Outcome | WorkError) -> None:
    work = Claimed(uuid4(), uuid4(), attempts=1, crashes=0)
    await settlement.settle(KIND, [work], {work.id: outcome})


@pytest.mark.parametrize("end", [Done(), Recorded()], ids=["done", "recorded"])
async def test_success_after_an_outage_has_what_waits_woken_at_once(
    settlement: Settlement, rings: Rings, end: Outcome
) -> None:
    await settle(settlement, end)
    assert rings.told == []
    await settle(settlement, Outage("storage", "it is away"))
    rings.told.clear()
    await settle(settlement, end)
    assert rings.told == [0.0]


async def test_success_on_another_service_does_not_hide_that_on_the_one_that_was_away(
    settlement: Settlement, rings: Rings
) -> None:
    await settle(settlement, Outage("cdn:second", "it is away"))
    rings.told.clear()
    for _ in range(3):
        await settle(settlement, Recorded())
    first, *later = rings.told
    assert first == 0.0
    assert len(later) == 2 and all(0 < delay <= 5 for delay in later)


async def test_probe_that_turns_out_pointless_is_followed_by_the_next_at_once(
    settlement: Settlement, rings: Rings
) -> None:
    await settle(settlement, Outage("storage", "it is away"))
    rings.told.clear()
    await settle(settlement, Done(reached_service=False))
    assert rings.told == [0.0]


@pytest.mark.parametrize("end", [Failed("no"), Again("not yet", None)], ids=repr)
async def test_work_that_has_not_reached_its_service_wakes_nothing(
    settlement: Settlement, rings: Rings, end: Outcome
) -> None:
    await settle(settlement, Outage("storage", "it is away"))
    rings.told.clear()
    await settle(settlement, end)
    assert rings.told == []
