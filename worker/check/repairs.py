"""Begins repairs, and says what came of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.check.model import Finding, PlaceReport

# What the database says was done, as people read it: whether it helps, and what it was.
OUTCOMES: dict[str, tuple[bool, str]] = {
    "asked again": (True, "asked for again"),
    "disclaimed": (True, "the row says so no more; its file is not to be stored now"),
    "queued": (True, "its deletion is queued"),
    "forgotten": (True, "forgotten"),
    "compared again": (True, "row and asset are compared again"),
    "marked deleted": (True, "the row is marked deleted"),
    "changed": (False, "has changed meanwhile: left to the next check"),
    "held": (False, "the application holds the row: left to the next check"),
    "there": (False, "is there after all, though it is not listed: left as it is"),
    "unknown": (False, "the storage does not say whether it is there: left to the next check"),
    "hopeless": (False, "cannot be had again: its track has no other source"),
    "without source": (False, "cannot be had again: upload the file anew, or delete the row"),
    "not ours": (False, "the row is the application's: correct it, or upload the file anew"),
}


@dataclass(frozen=True)
class Repair:
    """Something that is to be mended: `begin` answers with keys of `OUTCOMES`.

    `finding` is the line of the report that says so, if it has one.
    """

    report: PlaceReport
    finding: Finding | None
    begin: Callable[[], Awaitable[Sequence[str]]]


async def carry_out(repairs: Sequence[Repair]) -> None:
    """Begin repairs: what they ask for is done by workers."""
    for repair in repairs:
        # of several rows that name one object, the one that cannot be mended counts
        done, said = min(OUTCOMES[each] for each in await repair.begin())
        repair.report.repaired += done
        if repair.finding is not None:
            repair.finding.repaired, repair.finding.outcome = done, said
