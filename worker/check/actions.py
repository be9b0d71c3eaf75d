"""What a check is: every place is compared with what rows and the ledger say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from worker.check.inspection import Inspection
from worker.check.model import KINDS, Finding, Options, PlaceReport
from worker.check.repairs import carry_out
from worker.errors import WorkError

# Places of one kind: what is to be looked through there, given the cut-off.
Side = Callable[[datetime], Awaitable[Sequence[Inspection[Any]]]]


class Rows(Protocol):
    """Where a check begins and ends, and what it has shown is kept."""

    async def begin(self, older_than: timedelta) -> datetime: ...
    async def end(self) -> None: ...
    async def record(self, reports: Sequence[PlaceReport]) -> None: ...


@dataclass(frozen=True)
class Report:
    """What a check has shown; `stopped`: why deletions were not begun."""

    places: Sequence[PlaceReport]
    stopped: str | None = None

    @property
    def agrees(self) -> bool:
        """Everything is as it should be, or its repair was begun."""
        return self.stopped is None and all(place.agrees for place in self.places)

    @property
    def carried_out(self) -> bool:
        """Every place was looked through, and nothing was held back."""
        return self.stopped is None and all(place.error is None for place in self.places)

    @property
    def findings(self) -> list[Finding]:
        """Of all places; each lists no more than `PlaceReport` says."""
        return [finding for place in self.places for finding in place.findings]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind."""
        total: Counter[str] = sum((place.counts for place in self.places), Counter())
        return {kind: total[kind] for kind in KINDS}

    def as_json(self) -> dict[str, Any]:
        """For programs; `success` says that the check was carried out."""
        return {
            "success": self.carried_out,
            "message": self.stopped,
            "findings": [finding.as_json() for finding in self.findings],
            "counts": self.counts,
            "places": [place.as_json() for place in self.places],
        }


class Check:
    """Compares places, and mends what differs if the options say so."""

    def __init__(self, rows: Rows, sides: Sequence[Side], *, options: Options) -> None:
        self._rows = rows
        self._sides = sides
        self._options = options

    async def __call__(self) -> Report:
        """Look through all places, one after the other; one that fails stops no other."""
        cut_off = await self._rows.begin(self._options.older_than)
        inspections = [each for side in self._sides for each in await side(cut_off)]
        for each in inspections:
            await _look_through(each)
        # only now: one row's files may be in several places, and its work is begun but once
        for each in inspections:
            await carry_out(each.mends)
        stopped = await self._delete(inspections)
        reports = [each.report for each in inspections]
        await self._rows.record(reports)
        await self._rows.end()
        return Report(reports, stopped)

    async def _delete(self, inspections: Sequence[Inspection[Any]]) -> str | None:
        """All or none: nothing is deleted before it is known how much that would be."""
        if not self._options.repair:
            return None
        sound = [each for each in inspections if each.report.error is None]
        count, most = (
            sum(each.report.counts["orphan"] for each in sound),
            self._options.max_deletions,
        )
        if count > most:
            return (
                f"{count} objects would be deleted, and {most} may be: none was. Look at them,"
                f" and if they are to go, allow as many: --max-deletions {count}"
            )
        for each in sound:
            await carry_out(each.deletions)
        return None


async def _look_through(inspection: Inspection[Any]) -> None:
    try:
        await inspection.run()
    except WorkError as error:
        inspection.report.error = str(error)
        inspection.drop_repairs()
