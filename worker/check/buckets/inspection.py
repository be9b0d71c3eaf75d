"""Looks through one bucket, or what stands below a prefix of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from typing import Protocol

from worker.check.buckets.judgement import has_other_bytes, is_named, judge, repair_of
from worker.check.buckets.listing import listed, paired
from worker.check.buckets.model import Expected, Pair, Suspicion
from worker.check.buckets.places import Place
from worker.check.buckets.verification import differing
from worker.check.inspection import BATCH, Inspection, Progress
from worker.check.model import Kind, Options
from worker.errors import WorkError
from worker.storage import BadKey, check_key


class Rows(Protocol):
    """What the database says is in a place, and where repairs are begun (see `OUTCOMES`)."""

    def expected(self, place: Place, cut_off: datetime) -> AsyncIterator[Expected]: ...
    async def look(self, place: Place, keys: Sequence[str], cut_off: datetime) -> set[Expected]: ...
    async def named(self, track_ids: Sequence[str]) -> set[str]: ...
    async def mend(self, row: Expected, finding: str) -> str: ...
    async def disclaim(self, place: Place, row: Expected) -> str: ...


class BucketInspection(Inspection[Suspicion]):
    """Both sides are read in the order of their keys, and only what differs is looked at again."""

    container = "bucket"

    def __init__(
        self,
        place: Place,
        rows: Rows,
        executor: Executor,
        *,
        cut_off: datetime,
        options: Options,
        progress: Progress,
    ) -> None:
        """Blocking calls go to `executor`; what was touched after `cut_off` is no finding."""
        super().__init__(place.name, options, progress)
        self._place = place
        self._rows = rows
        self._executor = executor
        self._cut_off = cut_off

    async def batches(self) -> AsyncIterator[Sequence[Suspicion]]:
        """See `Inspection`."""
        async for pairs in self._pairs():
            yield await self._suspicions(pairs)

    def repair_of(self, kind: Kind) -> str:
        """See `Inspection`."""
        return repair_of(kind, self._place.service)

    async def mend(self, suspicion: Suspicion) -> Sequence[str]:
        """See `Inspection`: what rows ask for is done by workers."""
        kind = suspicion.kind
        if kind == "missing" and (doubt := await self._doubt_of(suspicion.key)):
            return [doubt]
        finding = "other" if kind == "truncated" else kind
        return [await self._mend(row, finding) for row in suspicion.rows]

    async def _pairs(self) -> AsyncIterator[list[Pair]]:
        expected = self._rows.expected(self._place, self._cut_off)
        batch: list[Pair] = []
        async for pair in paired(expected, listed(self._place, self._executor)):
            self.report.objects += pair.found is not None
            self.known += pair.counts_on_it
            batch.append(pair)
            if len(batch) == BATCH:
                yield batch
                batch = []
        yield batch

    async def _suspicions(self, pairs: Sequence[Pair]) -> list[Suspicion]:
        judged = [(pair, judge(pair, cut_off=self._cut_off)) for pair in pairs]
        found = [suspicion for _, suspicion in judged if suspicion is not None]
        if self.options.verify:
            sound = [pair for pair, suspicion in judged if suspicion is None]
            differ = await differing(self._place, sound, self._executor)
            found += [has_other_bytes(row) for row in differ]
        return await self._told_apart(await self._still_so(found))

    async def _still_so(self, found: Sequence[Suspicion]) -> list[Suspicion]:
        """Without what has changed since: the two sides were read one after the other."""
        keys = [each.key for each in found if each.rows or _is_safe(each.key)]
        if not keys:
            return list(found)
        now = await self._rows.look(self._place, keys, self._cut_off)
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
            and (track := self._place.track_of(each.key))
        }  # fmt: skip
        named = await self._rows.named(list(tracks.values())) if tracks else set()
        return [
            is_named(each.key, tracks[each.key]) if tracks.get(each.key) in named else each
            for each in found
        ]

    async def _doubt_of(self, key: str) -> str | None:
        """Why nothing is done: so far it is missing by the listing alone."""
        look = partial(self._place.store.head, key)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._executor, look)
        except WorkError:
            return "unknown"
        return "there" if found is not None else None

    async def _mend(self, row: Expected, finding: str) -> str:
        if row.object_id is None:
            return await self._rows.disclaim(self._place, row)
        return await self._rows.mend(row, finding)


def _is_safe(key: str) -> bool:
    """Other keys are never ours, and not all of them can be sent to the database."""
    try:
        check_key(key)
    except BadKey:
        return False
    return True
