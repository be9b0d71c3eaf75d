from __future__ import annotations

from itertools import count

import pytest

from tests.support.wait import wait_until, wait_until_async


def test_it_returns_the_first_true_value() -> None:
    numbers = count()
    assert wait_until(lambda: (n := next(numbers)) > 2 and n) == 3


def test_it_fails_with_the_message_and_what_it_saw_last() -> None:
    with pytest.raises(AssertionError, match=r"waiting for the moon after 0.05 s; last seen: \[\]"):
        wait_until(list, timeout=0.05, message="the moon")


def test_what_the_predicate_raises_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 // 0)


async def test_coroutine_functions_are_awaited() -> None:
    numbers = count()

    async def look() -> int:
        return next(numbers)

    assert await wait_until_async(look) == 1


async def test_the_asynchronous_one_fails_in_time_too() -> None:
    with pytest.raises(AssertionError, match="waiting for the moon"):
        await wait_until_async(lambda: None, timeout=0.05, message="the moon")
