"""Delays between tries, over many random lives of a piece of work."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from worker.retry import END_GAME, LAST_TRY, next_delay

DELAYS = (5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)
SEEDS = range(200)


def middle() -> float:
    return 0.5


def random_life(seed: int) -> Iterator[tuple[int, float, float | None]]:
    """Attempts, seconds left and delay of one piece of work that always fails, until it ends."""
    dice = random.Random(seed)
    left = dice.choice([1.0, 30.0, 600.0, 3600.0, 15 * 86400.0]) * dice.random()
    delays = [dice.choice([0.5, 1.0, 1000.0]) * delay for delay in DELAYS]
    for attempts in range(1, 10_000):
        delay = next_delay(attempts, delays=delays, seconds_left=left, jitter=dice.random)
        yield attempts, left, delay
        if delay is None:
            return
        left -= delay + dice.random()
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("attempts", "expected"), [(1, 5), (2, 10), (7, 21600), (8, 21600), (99, 21600)]
)
def test_delays_are_taken_in_order_and_the_last_one_repeats(attempts: int, expected: float) -> None:
    assert next_delay(attempts, delays=DELAYS, jitter=middle) == expected


def test_jitter_spreads_a_delay_by_a_quarter_to_both_sides() -> None:
    assert next_delay(1, delays=[100], jitter=lambda: 0.0) == 75
    assert next_delay(1, delays=[100], jitter=lambda: 1.0) == 125


def test_jitter_is_random_by_default() -> None:
    assert len({next_delay(1, delays=[100]) for _ in range(20)}) > 1


def test_retry_after_is_a_least_delay() -> None:
    assert next_delay(1, delays=DELAYS, retry_after=120, jitter=middle) == 120
    assert next_delay(4, delays=DELAYS, retry_after=120, jitter=middle) == 300


def test_next_try_comes_within_half_the_time_left() -> None:
    assert next_delay(7, delays=DELAYS, seconds_left=3600, jitter=middle) == 1800


def test_deadline_far_away_changes_nothing() -> None:
    assert next_delay(1, delays=DELAYS, seconds_left=3600, jitter=middle) == 5


def test_last_try_is_made_shortly_before_the_deadline() -> None:
    assert next_delay(7, delays=DELAYS, seconds_left=END_GAME, jitter=middle) == END_GAME - LAST_TRY
    assert next_delay(7, delays=DELAYS, seconds_left=LAST_TRY, jitter=middle) is None


@pytest.mark.parametrize("left", [0.0, -1.0, -86400.0])
def test_no_try_after_the_deadline(left: float) -> None:
    assert next_delay(1, delays=DELAYS, seconds_left=left) is None


def test_retry_after_beyond_the_deadline_leaves_no_try() -> None:
    assert next_delay(1, delays=DELAYS, retry_after=600, seconds_left=600) is None


def test_retry_after_wins_over_half_the_time_left() -> None:
    assert next_delay(1, delays=DELAYS, retry_after=500, seconds_left=600, jitter=middle) == 500


@pytest.mark.parametrize("seed", SEEDS)
def test_every_try_of_a_life_comes_before_its_deadline(seed: int) -> None:
    for _, left, delay in random_life(seed):
        assert delay is None or 0 < delay < left


@pytest.mark.parametrize("seed", SEEDS)
def test_no_delay_of_a_life_is_longer_than_half_the_time_left_but_the_last(seed: int) -> None:
    for _, left, delay in random_life(seed):
        assert delay is None or delay <= left / 2 or left <= END_GAME


@pytest.mark.parametrize("seed", SEEDS)
def test_life_has_no_storm_at_its_end(seed: int) -> None:
    # A delay below what the settings ask for is one of the halvings, or the one last try.
    squeezed = [
        delay
        for attempts, left, delay in random_life(seed)
        if delay is not None and (delay == left / 2 or delay == left - LAST_TRY)
    ]
    assert len(squeezed) < 20
    assert all(delay > END_GAME / 2 for delay in squeezed[:-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_retry_after_is_honoured_in_every_try(seed: int) -> None:
    dice = random.Random(seed)
    wish, left = dice.random() * 100, dice.random() * 200
    delay = next_delay(dice.randrange(1, 9), delays=DELAYS, retry_after=wish, seconds_left=left)
    assert delay is None or wish <= delay < left
