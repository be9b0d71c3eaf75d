"""Waiting on a condition, with a deadline, instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
PAUSE = 0.02  # seconds between two looks


def wait_until(
    predicate: Callable[[], T], *, timeout: float = 10.0, message: str = "the condition"
) -> T:
    """Return the predicate's first true value; fail after `timeout` seconds.

    What the predicate raises is raised at once.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(message, timeout, value))
        time.sleep(PAUSE)


async def wait_until_async(
    predicate: Callable[[], Any],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - a deadline over many looks, not over one await
    message: str = "the condition",
) -> Any:
    """The same on an event loop; the predicate may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        value = await value if inspect.isawaitable(value) else value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(message, timeout, value))
        await asyncio.sleep(PAUSE)


def _complaint(message: str, timeout: float, value: object) -> str:
    return f"still waiting for {message} after {timeout:g} s; last seen: {value!r}"
