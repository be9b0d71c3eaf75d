"""What a check is: every place is compared with what rows and the ledger say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from worker.check import inspection
from worker.check.claims import Claims, note_claims
from worker.check.inspection import Inspection, Progress
from worker.check.model import KINDS, Finding, Options, PlaceReport
from worker.check.places import Place
from worker.check.repairs import carry_out
from worker.errors import WorkError


class Rows(inspection.Rows, Claims, Protocol):
    """What the database says, for one check."""

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

    def __init__(
        self,
        rows: Rows,
        places: Sequence[Place],
        executor: Executor,
        *,
        options: Options,
        progress: Progress = lambda _place, _objects: None,
    ) -> None:
        """Blocking calls go to `executor`; `progress` is told a place and its objects so far."""
        self._rows = rows
        self._places = places
        self._executor = executor
        self._options = options
        self._progress = progress

    async def __call__(self) -> Report:
        """Look through all places, one after the other; one that fails stops no other."""
        cut_off = await self._rows.begin(self._options.older_than)
        await note_claims(self._rows, self._places)
        inspections = [await self._inspect(place, cut_off) for place in self._places]
        # only now: one row's files may be in several places, and its work is begun but once
        for each in inspections:
            await carry_out(each.mends, self._rows, self._executor)
        stopped = await self._delete(inspections)
        reports = [each.report for each in inspections]
        await self._rows.record(reports)
        await self._rows.end()
        return Report(reports, stopped)

    async def _inspect(self, place: Place, cut_off: datetime) -> Inspection:
        found = Inspection(
            place, self._rows, self._options, cut_off, self._executor, self._progress
        )
        try:
            await found.run()
        except WorkError as error:
            found.report.error = str(error)
            found.drop_repairs()
        return found

    async def _delete(self, inspections: Sequence[Inspection]) -> str | None:
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
            await carry_out(each.deletions, self._rows, self._executor)
        return None
