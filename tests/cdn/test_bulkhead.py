"""A slow target does not occupy all slots; what finds no room comes again as room falls free."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from worker.cdn.bulkhead import Bulkhead, kept_for_new, room_for_each
from worker.errors import Busy


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def refused(bulkhead: Bulkhead, *, behind: bool = False) -> float:
    with pytest.raises(Busy) as busy, bulkhead.enter("cdn:second", behind=behind):
        pass
    assert "cdn:second" in str(busy.value)
    return busy.value.retry_after


def test_one_target_never_has_more_than_three_quarters() -> None:
    assert room_for_each(16, targets=2) == 12
    assert room_for_each(4, targets=3) == 3
    assert room_for_each(1, targets=2) == 1


def test_a_single_target_may_have_all() -> None:
    assert room_for_each(16, targets=1) == 16


def test_there_is_room_again_when_a_run_has_ended() -> None:
    bulkhead = Bulkhead(1)
    with bulkhead.enter("x"):
        refused(bulkhead)
    with bulkhead.enter("x"):
        pass


def test_run_that_fails_leaves_its_room() -> None:
    bulkhead = Bulkhead(1)
    with pytest.raises(KeyError), bulkhead.enter("x"):
        raise KeyError
    with bulkhead.enter("x"):
        pass


def test_the_more_wait_the_later_they_come() -> None:
    bulkhead = Bulkhead(4, clock=Clock())
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(bulkhead.enter("x"))
        pauses = [refused(bulkhead) for _ in range(40)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1 and pauses[-1] == pytest.approx(10.0)  # 40 runs of a second, 4 at a time


def test_those_whose_time_has_come_wait_no_longer() -> None:
    clock = Clock()
    bulkhead = Bulkhead(1, clock=clock)
    with bulkhead.enter("x"):
        first = [refused(bulkhead) for _ in range(5)]
        clock.now += 5.1
        assert refused(bulkhead) < 5.1 + 1 < first[-1] + 5.1


def test_runs_that_hang_keep_others_away_longer() -> None:
    clock = Clock()
    bulkhead = Bulkhead(1, clock=clock)
    with bulkhead.enter("x"):
        clock.now += 60
        assert refused(bulkhead) == pytest.approx(60)
    for _ in range(100):  # quick again
        with bulkhead.enter("x"):
            clock.now += 0.01
    clock.now += 1000
    with bulkhead.enter("x"):
        assert refused(bulkhead) == 0.25


def test_nobody_is_sent_away_for_longer_than_five_minutes() -> None:
    clock = Clock()
    bulkhead = Bulkhead(1, clock=clock)
    with bulkhead.enter("x"):
        clock.now += 200
        assert max(refused(bulkhead) for _ in range(10)) == 300.0


def test_older_work_leaves_room_for_new() -> None:
    assert kept_for_new(16, targets=2) == 3
    bulkhead = Bulkhead(12, kept=3, clock=Clock())
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(bulkhead.enter("x", behind=True))
        refused(bulkhead, behind=True)
        for _ in range(3):
            stack.enter_context(bulkhead.enter("x"))
        refused(bulkhead)


def test_new_work_does_not_wait_for_the_older_that_waits() -> None:
    bulkhead = Bulkhead(12, clock=Clock())
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(bulkhead.enter("x"))
        older = [refused(bulkhead, behind=True) for _ in range(1000)]
        assert refused(bulkhead) < 1 < 80 < older[-1]


def test_older_work_goes_on_where_there_is_room_for_one() -> None:
    assert kept_for_new(1, targets=2) == kept_for_new(16, targets=1) == 0
    with Bulkhead(1).enter("x", behind=True):
        pass
