"""Looks through one place: what is wrong there, and what is to be mended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from worker.check.judgement import has_other_bytes, is_named, judge, repair_of
from worker.check.listing import listed, paired
from worker.check.model import (
    FAULTS,
    Expected,
    Finding,
    Options,
    Pair,
    PlaceReport,
    Suspicion,
)
from worker.check.places import Place
from worker.check.repairs import Mending, Repair, carry_out
from worker.check.verification import differing
from worker.storage import BadKey, check_key

PAIRS_AT_ONCE = 500
HANDFUL = 5
# Findings of a place that are listed one by one, faults and others; what is more is counted.
MOST_FAULTS, MOST_OTHERS = 10_000, 20

Progress = Callable[[str, int], None]


class Rows(Mending, Protocol):
    """What the database says is in a place."""

    def expected(self, place: Place, cut_off: datetime) -> AsyncIterator[Expected]: ...
    async def look(self, place: Place, keys: Sequence[str], cut_off: datetime) -> set[Expected]: ...
    async def named(self, track_ids: Sequence[str]) -> set[str]: ...


@dataclass
class Inspection:
    """One place, looked through once. `progress` is told how many objects were listed."""

    place: Place
    rows: Rows
    options: Options
    cut_off: datetime
    executor: Executor
    progress: Progress
    report: PlaceReport = field(init=False)
    mends: list[Repair] = field(default_factory=list)
    deletions: list[Repair] = field(default_factory=list)
    _known: int = 0

    def __post_init__(self) -> None:
        self.report = PlaceReport(self.place.name)

    async def run(self) -> None:
        """Compare everything; what is to be repaired is left in `mends` and `deletions`.

        Both are empty where all this may rather be a mistake. Raises the storage's errors.
        """
        async for pairs in self._batches():
            for suspicion in await self._suspicions(pairs):
                self._take_down(suspicion)
            if self.options.force and len(self.mends) > MOST_FAULTS - PAIRS_AT_ONCE:
                await carry_out(self.mends, self.rows, self.executor)
                self.mends.clear()
        self.report.error = None if self.options.force else self._doubt()
        if self.report.error is not None:
            self.drop_repairs()

    def drop_repairs(self) -> None:
        """Nothing is repaired in a place that cannot be trusted."""
        self.mends.clear()
        self.deletions.clear()

    async def _batches(self) -> AsyncIterator[list[Pair]]:
        expected = self.rows.expected(self.place, self.cut_off)
        batch: list[Pair] = []
        async for pair in paired(expected, listed(self.place, self.executor)):
            self.report.objects += pair.found is not None
            self._known += pair.counts_on_it
            batch.append(pair)
            if len(batch) == PAIRS_AT_ONCE:
                self.progress(self.place.name, self.report.objects)
                yield batch
                batch = []
        self.progress(self.place.name, self.report.objects)
        yield batch

    async def _suspicions(self, pairs: Sequence[Pair]) -> list[Suspicion]:
        judged = [(pair, judge(pair, cut_off=self.cut_off)) for pair in pairs]
        found = [suspicion for _, suspicion in judged if suspicion is not None]
        if self.options.verify:
            sound = [pair for pair, suspicion in judged if suspicion is None]
            differ = await differing(self.place, sound, self.executor)
            found += [has_other_bytes(row) for row in differ]
        return await self._told_apart(await self._still_so(found))

    async def _still_so(self, found: Sequence[Suspicion]) -> list[Suspicion]:
        """Without what has changed since: the two sides were read one after the other."""
        keys = [each.key for each in found if each.rows or _is_safe(each.key)]
        if not keys:
            return list(found)
        now = await self.rows.look(self.place, keys, self.cut_off)
        known = {row.object_key for row in now}
        return [
            suspicion
            for suspicion in found
            if (now.issuperset(suspicion.rows) if suspicion.rows else suspicion.key not in known)
        ]

    async def _told_apart(self, found: Sequence[Suspicion]) -> list[Suspicion]:
        """With those that have a track's key told from what is not ours at all."""
        tracks = {
            each.key: track
            for each in found
            if each.kind == "foreign" and _is_safe(each.key)
            and (track := self.place.track_of(each.key))
        }  # fmt: skip
        named = await self.rows.named(list(tracks.values())) if tracks else set()
        return [
            is_named(each.key, tracks[each.key]) if tracks.get(each.key) in named else each
            for each in found
        ]

    def _take_down(self, suspicion: Suspicion) -> None:
        kind = suspicion.kind
        self.report.counts[kind] += 1
        finding = self._line(suspicion)
        if not self.options.repair or kind not in FAULTS:
            return
        repairs = self.deletions if kind == "orphan" else self.mends
        most = self.options.max_deletions if kind == "orphan" else MOST_FAULTS
        if len(repairs) < most:
            repairs.append(Repair(self.place, self.report, suspicion, finding))

    def _line(self, suspicion: Suspicion) -> Finding | None:
        kind = suspicion.kind
        listed_so_far = self.report.counts[kind] - 1
        if listed_so_far >= (MOST_FAULTS if kind in FAULTS else MOST_OTHERS):
            return None
        repair = repair_of(kind, self.place.service)
        finding = Finding(self.place.name, kind, suspicion.key, suspicion.what, repair)
        self.report.findings.append(finding)
        return finding

    def _doubt(self) -> str | None:
        """Why all this may rather be a mistake, of a setting or of the storage."""
        counts = self.report.counts
        wrong = counts["missing"] + counts["truncated"] + counts["other"]
        if self.report.objects == 0 and self._known > HANDFUL:
            self.report.findings = [f for f in self.report.findings if f.kind != "missing"]
            del counts["missing"]
            return (
                f"nothing is listed there, and {self._known} objects ought to be: is it the right"
                " bucket? If they are really gone, --force reports and repairs them"
            )
        if wrong > min(max(2 * HANDFUL, self._known // 2), MOST_FAULTS):
            return (
                f"{wrong} of {self._known} objects are missing or differ: is it the right bucket?"
                " Nothing is repaired there without --force"
            )
        return None


def _is_safe(key: str) -> bool:
    """Other keys are never ours, and not all of them can be sent to the database."""
    try:
        check_key(key)
    except BadKey:
        return False
    return True
