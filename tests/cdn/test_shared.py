"""What several runs need at once is fetched once, and never older than what they ask for."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.wait import wait_until_async
from worker.cdn.shared import Shared
from worker.errors import Temporary


class Maker:
    """Makes numbers, each once it is let."""

    def __init__(self, *, error: Exception | None = None) -> None:
        self.begun = 0
        self.cancelled = 0
        self.let = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self._error:
            raise self._error
        return self.begun


async def test_callers_at_the_same_time_share_one() -> None:
    shared, make, since = Shared[int](), Maker(), time.monotonic()
    callers = [asyncio.create_task(shared.get("x", make, since=since)) for _ in range(3)]
    await wait_until_async(lambda: make.begun)
    make.let.set()
    assert await asyncio.gather(*callers) == [1, 1, 1]
    assert make.begun == 1


async def test_who_comes_shortly_afterwards_gets_the_same() -> None:
    shared, make, since = Shared[int](), Maker(), time.monotonic()
    make.let.set()
    assert await shared.get("x", make, since=since) == 1
    assert await shared.get("x", make, since=since) == 1


async def test_who_was_asked_after_its_beginning_gets_a_new_one() -> None:
    shared, make, since = Shared[int](), Maker(), time.monotonic()
    first = asyncio.create_task(shared.get("x", make, since=since))
    await wait_until_async(lambda: make.begun)
    second = asyncio.create_task(shared.get("x", make, since=time.monotonic()))
    await wait_until_async(lambda: make.begun == 2)
    make.let.set()
    assert (await first, await second) == (2, 2)  # what it returns is read at its end
    assert make.begun == 2


async def test_names_are_apart() -> None:
    shared, make = Shared[int](), Maker()
    make.let.set()
    assert [await shared.get(name, make, since=0.0) for name in "xyx"] == [1, 2, 1]


async def test_it_is_forgotten_after_a_while() -> None:
    shared, make = Shared[int](keep=0.01), Maker()
    make.let.set()
    await shared.get("x", make, since=0.0)
    await wait_until_async(lambda: not shared._entries)
    assert await shared.get("x", make, since=0.0) == 2


async def test_error_goes_to_all_who_wait_and_is_not_kept() -> None:
    shared, make = Shared[int](), Maker(error=Temporary("not now"))
    callers = [asyncio.create_task(shared.get("x", make, since=0.0)) for _ in range(2)]
    await wait_until_async(lambda: make.begun)
    make.let.set()
    assert all(
        isinstance(e, Temporary) for e in await asyncio.gather(*callers, return_exceptions=True)
    )
    with pytest.raises(Temporary):
        await shared.get("x", make, since=0.0)
    assert make.begun == 2


async def test_one_who_leaves_harms_nobody() -> None:
    shared, make = Shared[int](), Maker()
    leaving, staying = (asyncio.create_task(shared.get("x", make, since=0.0)) for _ in range(2))
    await wait_until_async(lambda: make.begun)
    leaving.cancel()
    await asyncio.wait([leaving])
    make.let.set()
    assert await staying == 1


async def test_what_nobody_waits_for_is_cancelled() -> None:
    shared, make = Shared[int](), Maker()
    only = asyncio.create_task(shared.get("x", make, since=0.0))
    await wait_until_async(lambda: make.begun)
    only.cancel()
    await wait_until_async(lambda: make.cancelled)
    assert not shared._entries


async def test_the_oldest_go_first_when_there_is_no_room() -> None:
    shared = Shared[str](weight=len, most=5)
    made: list[str] = []

    async def get(text: str) -> None:
        async def make() -> str:
            made.append(text)
            return text

        assert await shared.get(text, make, since=0.0) == text

    for text in ("aaa", "bb", "cc", "bb", "aaa"):
        await get(text)
    assert made == ["aaa", "bb", "cc", "aaa"]
