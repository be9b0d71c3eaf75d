"""Looks through one place: what is wrong there, and what is to be mended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from worker.check.model import FAULTS, Finding, Kind, Options, PlaceReport, Suspicion
from worker.check.repairs import Repair, carry_out

S = TypeVar("S", bound=Suspicion)  # type: ignore[type-arg]

BATCH = 500
HANDFUL = 5
# Findings of a place that are listed one by one, faults and others; what is more is counted.
MOST_FAULTS, MOST_OTHERS = 10_000, 20

Progress = Callable[[str, int], None]


class Inspection(ABC, Generic[S]):
    """One place, looked through once.

    What kind of place it is says how it is compared (`batches`) and mended (`mend`). `known`
    counts what ought to be there. `container` is what a place of this kind is to people.
    """

    container: str

    def __init__(self, name: str, options: Options, progress: Progress) -> None:
        """`progress` is told how many objects were seen."""
        self.report = PlaceReport(name)
        self.mends: list[Repair] = []
        self.deletions: list[Repair] = []
        self.known = 0
        self.options = options
        self._progress = progress

    @abstractmethod
    def batches(self) -> AsyncIterator[Sequence[S]]:
        """What is wrong, found in what was seen next: at most `BATCH` things.

        Counts what it sees in `report.objects` and `known`. Raises the place's errors.
        """

    @abstractmethod
    async def mend(self, suspicion: S) -> Sequence[str]:
        """Begin what mends it; returns keys of `OUTCOMES`, one for each row that it is about."""

    @abstractmethod
    def repair_of(self, kind: Kind) -> str:
        """What mends it, or that nothing is done about it."""

    async def run(self) -> None:
        """Compare everything; what is to be repaired is left in `mends` and `deletions`.

        Both are empty where all this may rather be a mistake. Raises the place's errors.
        """
        async for found in self.batches():
            for suspicion in found:
                self._take_down(suspicion)
            if self.options.force and len(self.mends) > MOST_FAULTS - BATCH:
                await carry_out(self.mends)
                self.mends.clear()
            self._progress(self.report.place, self.report.objects)
        self.report.error = None if self.options.force else self._doubt()
        if self.report.error is not None:
            self.drop_repairs()

    def drop_repairs(self) -> None:
        """Nothing is repaired in a place that cannot be trusted."""
        self.mends.clear()
        self.deletions.clear()

    def _take_down(self, suspicion: S) -> None:
        kind = suspicion.kind
        self.report.counts[kind] += 1
        finding = self._line(suspicion)
        if not self.options.repair or kind not in FAULTS:
            return
        repairs = self.deletions if kind == "orphan" else self.mends
        most = self.options.max_deletions if kind == "orphan" else MOST_FAULTS
        if len(repairs) < most:
            repairs.append(Repair(self.report, finding, partial(self.mend, suspicion)))

    def _line(self, suspicion: S) -> Finding | None:
        kind = suspicion.kind
        listed_so_far = self.report.counts[kind] - 1
        if listed_so_far >= (MOST_FAULTS if kind in FAULTS else MOST_OTHERS):
            return None
        repair = self.repair_of(kind)
        finding = Finding(self.report.place, kind, suspicion.key, suspicion.what, repair)
        self.report.findings.append(finding)
        return finding

    def _doubt(self) -> str | None:
        """Why all this may rather be a mistake, of a setting or of the service."""
        counts = self.report.counts
        wrong = counts["missing"] + counts["truncated"] + counts["other"]
        if self.report.objects == 0 and self.known > HANDFUL:
            self.report.findings = [f for f in self.report.findings if f.kind != "missing"]
            del counts["missing"]
            return (
                f"nothing is listed there, and {self.known} objects ought to be: is it the right"
                f" {self.container}? If they are really gone, --force reports and repairs them"
            )
        if wrong > min(max(2 * HANDFUL, self.known // 2), MOST_FAULTS):
            return (
                f"{wrong} of {self.known} objects are missing or differ: is it the right"
                f" {self.container}? Nothing is repaired there without --force"
            )
        return None
