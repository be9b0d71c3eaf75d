"""Two ways in turn, round by round, so that whatever else the machine does meets both."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass

Way = Callable[[], float]


@dataclass(frozen=True)
class Result:
    """Ratios of ours to the other, a round each. `at_least`: the goal is a floor, not a ceiling."""

    name: str
    goal: float
    at_least: bool
    ratios: tuple[float, ...]
    detail: str = ""

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal if self.at_least else self.ratio <= self.goal

    def __str__(self) -> str:
        goal = f"{'≥' if self.at_least else '≤'} {self.goal:g}"
        spread = f"({min(self.ratios):.2f}-{max(self.ratios):.2f})"
        verdict = "reached" if self.reached else "MISSED"
        return f"{self.name:44}{goal:>8}{self.ratio:9.2f}{spread:>16}  {verdict}  {self.detail}"


HEAD = f"{'':44}{'goal':>8}{'ratio':>9}{'spread':>16}"


def alternate(ours: Way, other: Way, *, rounds: int) -> list[tuple[float, float]]:
    """What each way measured in each round; the way that comes first changes."""
    measured = []
    for number in range(rounds):
        if number % 2:
            second = other()
            measured.append((ours(), second))
        else:
            first = ours()
            measured.append((first, other()))
    return measured


def report(measure: Callable[[int], Result], *, rounds: int) -> None:
    """The main function of a benchmark: `--rounds N`."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=rounds)
    result = measure(arguments.parse_args().rounds)
    print(f"{HEAD}\n{result}", flush=True)


def mean(values: list[float]) -> float:
    """For the detail of a result."""
    return statistics.median(values)
