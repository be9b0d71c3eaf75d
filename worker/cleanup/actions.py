"""What deleting objects from the team's storage means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Protocol
from uuid import UUID

from worker.cleanup.model import Deletion
from worker.errors import Busy, ClaimLost, Outage, Pointless, Temporary, WorkError
from worker.queue.model import Claimed, Done, Outcome

Outcomes = dict[UUID, Outcome | WorkError]
POINTLESS = {
    "owned again": "the row exists again and owns the key",
    "wanted again": "the object was uploaded anew",
    "not ours": "no object that Media Worker wrote has this key",
}


class Deletions(Protocol):
    """Where deletions are judged and recorded."""

    async def begin(self, works: Sequence[Claimed]) -> list[Deletion]: ...
    async def end(self, ids: Sequence[UUID], token: UUID) -> None: ...
    async def release(self, ids: Sequence[UUID], token: UUID) -> None: ...


class Shredder(Protocol):
    """The storage: deletes keys of a bucket, and aborts open uploads to the uncertain ones."""

    async def delete(
        self, bucket: str, keys: Sequence[str], *, uncertain: Sequence[str]
    ) -> Mapping[str, str]: ...


class DeleteObjects:
    """Carries out claimed deletions, bucket by bucket."""

    def __init__(self, deletions: Deletions, shredder: Shredder) -> None:
        self._deletions = deletions
        self._shredder = shredder

    async def __call__(self, works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        """What came of each; a deletion that turns out to be unwanted is dropped."""
        judged = await self._deletions.begin(works)
        outcomes: Outcomes = {work.id: ClaimLost("taken over") for work in works}
        outcomes |= {each.id: _unneeded(each) for each in judged if each.verdict != "delete"}
        wanted = sorted((each for each in judged if each.verdict == "delete"), key=_bucket)
        for bucket, group in groupby(wanted, key=_bucket):
            outcomes |= await self._delete(bucket, list(group), works[0].token)
        return outcomes

    async def _delete(self, bucket: str, group: Sequence[Deletion], token: UUID) -> Outcomes:
        try:
            errors = await self._shredder.delete(
                bucket,
                [each.key for each in group],
                uncertain=[each.key for each in group if each.uncertain],
            )
        except (Busy, Outage, Temporary) as error:
            await self._deletions.release([each.id for each in group], token)
            return {each.id: error for each in group}
        gone = [each for each in group if each.key not in errors]
        await self._deletions.end([each.id for each in gone], token)
        await self._deletions.release([each.id for each in group if each.key in errors], token)
        outcomes: Outcomes = {each.id: Done() for each in gone}
        for each in group:
            if each.key in errors:
                outcomes[each.id] = Temporary(errors[each.key])
        return outcomes


def _bucket(deletion: Deletion) -> str:
    return deletion.bucket


def _unneeded(deletion: Deletion) -> WorkError:
    if deletion.verdict == "busy":
        return Busy("an upload to the same key is under way")
    return Pointless(POINTLESS[deletion.verdict])
