"""Begins repairs, and says what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from worker.check.model import Expected, Finding, PlaceReport, Suspicion
from worker.check.places import Place
from worker.errors import WorkError

# What the database says was done, as people read it: whether it helps, and what it was.
OUTCOMES: dict[str, tuple[bool, str]] = {
    "asked again": (True, "asked for again"),
    "disclaimed": (True, "the row says so no more; its file is not to be stored now"),
    "queued": (True, "its deletion is queued"),
    "forgotten": (True, "forgotten"),
    "changed": (False, "has changed meanwhile: left to the next check"),
    "held": (False, "the application holds the row: left to the next check"),
    "there": (False, "is there after all, though it is not listed: left as it is"),
    "unknown": (False, "the storage does not say whether it is there: left to the next check"),
    "hopeless": (False, "cannot be had again: its track has no other source"),
}


class Mending(Protocol):
    """Where repairs are begun; each call answers with a key of `OUTCOMES`."""

    async def mend(self, row: Expected, finding: str) -> str: ...
    async def disclaim(self, place: Place, row: Expected) -> str: ...


@dataclass(frozen=True)
class Repair:
    """Something that is to be mended, and the line of the report that says so, if it has one."""

    place: Place
    report: PlaceReport
    suspicion: Suspicion
    finding: Finding | None


async def carry_out(repairs: Sequence[Repair], mending: Mending, executor: Executor) -> None:
    """Begin repairs: what they ask for is done by workers."""
    for repair in repairs:
        doubt = await _doubt(repair, executor)
        # of several rows that name one object, the one that cannot be mended counts
        done, said = doubt or min(
            [await _mend(repair, row, mending) for row in repair.suspicion.rows]
        )
        repair.report.repaired += done
        if repair.finding is not None:
            repair.finding.repaired, repair.finding.outcome = done, said


async def _doubt(repair: Repair, executor: Executor) -> tuple[bool, str] | None:
    """Why nothing is done, where an object is missing by the listing alone."""
    if repair.suspicion.kind != "missing":
        return None
    look = partial(repair.place.store.head, repair.suspicion.key)
    try:
        found = await asyncio.get_running_loop().run_in_executor(executor, look)
    except WorkError:
        return OUTCOMES["unknown"]
    return OUTCOMES["there"] if found is not None else None


async def _mend(repair: Repair, row: Expected, mending: Mending) -> tuple[bool, str]:
    if row.object_id is None:
        return OUTCOMES[await mending.disclaim(repair.place, row)]
    kind = repair.suspicion.kind
    return OUTCOMES[await mending.mend(row, "other" if kind == "truncated" else kind)]
