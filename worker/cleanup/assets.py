"""What deleting assets from Cloudinary means: what somebody uses, or has uploaded anew, stays."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from worker.cleanup.model import AssetDeletion, Permission, Target
from worker.cloudinary import Found
from worker.cloudinary.failures import NOT_CARRIED_OUT
from worker.errors import Busy, ClaimLost, Permanent, Pointless, WorkError
from worker.queue.model import Claimed, Done, Outcome

Outcomes = dict[UUID, Outcome | WorkError]
Kind = tuple[str, str]  # resource type and type
Look = Mapping[str, Found | WorkError | None]
Looks = Mapping[Kind, Look]
BUSY_SECONDS = 2.0


class AssetDeletions(Protocol):
    """Where deletions of assets are judged and recorded."""

    async def begin(self, works: Sequence[Claimed]) -> list[AssetDeletion]: ...
    async def send(self, targets: Sequence[Target], token: UUID) -> Mapping[UUID, Permission]: ...
    async def refused(self, targets: Sequence[Target], token: UUID) -> None: ...
    async def end(
        self, targets: Sequence[Target], token: UUID, *, milliseconds: int
    ) -> Mapping[UUID, str | None]: ...


class Assets(Protocol):
    """The account's assets."""

    async def look(self, resource_type: str, type: str, public_ids: Sequence[str]) -> Look: ...
    async def delete(
        self, resource_type: str, type: str, public_ids: Sequence[str]
    ) -> Mapping[str, WorkError | None]: ...


class DeleteAssets:
    """Carries out claimed deletions of assets, up to `batch` in a call."""

    def __init__(self, deletions: AssetDeletions, assets: Assets, *, batch: int) -> None:
        self._deletions = deletions
        self._assets = assets
        self._batch = batch

    async def __call__(self, works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        """What came of each."""
        token = works[0].token
        asked = await self._deletions.begin(works)
        outcomes: Outcomes = {work.id: ClaimLost("taken over") for work in works}
        # of what was asked for before, it is looked whether it is gone already
        kept = [each for each in asked if each.used_by and not each.was_sent]
        outcomes |= {each.id: _kept(each.used_by) for each in kept}
        free = [each for each in asked if each not in kept]
        looks = await self._look(free)
        targets: list[Target] = []
        for each in free:
            try:
                targets += _judge(each, looks)
            except Pointless as reason:
                # Cloudinary was asked, and so works
                outcomes[each.id] = Done(f"cancelled: {reason}")
            except WorkError as error:
                outcomes[each.id] = error
        outcomes |= await self._record([t for t in targets if t.found is None], token)
        for group in self._groups([t for t in targets if t.found is not None]):
            outcomes |= await self._delete(group, token)
        return outcomes

    async def _look(self, deletions: Sequence[AssetDeletion]) -> Looks:
        wanted: defaultdict[Kind, dict[str, None]] = defaultdict(dict)
        for each in deletions:
            for resource_type in each.resource_types:
                wanted[resource_type, each.type][each.public_id] = None
        return {kind: await self._assets.look(*kind, list(ids)) for kind, ids in wanted.items()}

    def _groups(self, targets: Sequence[Target]) -> Iterator[list[Target]]:
        kinds: defaultdict[Kind, list[Target]] = defaultdict(list)
        for target in targets:
            kinds[target.kind].append(target)
        for group in kinds.values():
            for start in range(0, len(group), self._batch):
                yield group[start : start + self._batch]

    async def _delete(self, group: Sequence[Target], token: UUID) -> Outcomes:
        allowed = await self._deletions.send(group, token)
        outcomes: Outcomes = {t.id: _denied(allowed.get(t.id)) for t in group}
        group = [t for t in group if t.id in allowed and allowed[t.id].verdict == "send"]
        if not group:
            return outcomes
        public_ids = list(dict.fromkeys(t.public_id for t in group))
        began = time.monotonic()
        said = await self._assets.delete(*group[0].kind, public_ids)
        milliseconds = round(1000 * (time.monotonic() - began))
        errors = {t.id: error for t in group if (error := said[t.public_id])}
        await self._give_back([t for t in group if t.id in errors], errors, token)
        done = [t for t in group if t.id not in errors]
        return outcomes | errors | await self._record(done, token, milliseconds=milliseconds)

    async def _give_back(
        self, targets: Sequence[Target], errors: Mapping[UUID, WorkError], token: UUID
    ) -> None:
        certain = [
            t
            for t in targets
            if isinstance(errors[t.id], NOT_CARRIED_OUT) and not t.deletion.was_sent
        ]
        if certain:
            await self._deletions.refused(certain, token)

    async def _record(
        self, targets: Sequence[Target], token: UUID, *, milliseconds: int = 0
    ) -> Outcomes:
        if not targets:
            return {}
        notes = await self._deletions.end(targets, token, milliseconds=milliseconds)
        return {t.id: Done(notes.get(t.id)) for t in targets}


def _judge(deletion: AssetDeletion, looks: Looks) -> list[Target]:
    """The asset that is to go, or all that it might have been where there is none.

    Raises what speaks against it.
    """
    there: dict[str, Found] = {}
    for resource_type in deletion.resource_types:
        found = looks[resource_type, deletion.type][deletion.public_id]
        if isinstance(found, WorkError):
            raise found
        if found is not None:
            there[resource_type] = found
    if not there:
        return [Target(deletion, each, None) for each in deletion.resource_types]
    if len(there) > 1:
        raise _ambiguous(deletion, there)
    ((resource_type, found),) = there.items()
    if deletion.version is not None and found.version > deletion.version:
        raise Pointless(
            f"the asset's version at Cloudinary, {found.version}, is newer than the deleted row's,"
            f" {deletion.version}"
        )
    if deletion.asset_id is not None and found.asset_id not in (None, deletion.asset_id):
        raise Pointless("the asset that has the name at Cloudinary is another one")
    return [Target(deletion, resource_type, found)]


def _ambiguous(deletion: AssetDeletion, there: Mapping[str, Found]) -> Permanent:
    found = ", ".join(f"{each}/{deletion.type}/{deletion.public_id}" for each in there)
    return Permanent(
        f"the row did not say which of these it was, and none was deleted: {found};"
        " set resource_type, and status to pending"
    )


def _kept(user: str | None) -> Pointless:
    return Pointless(f"{user} uses the asset")


def _denied(permission: Permission | None) -> WorkError:
    if permission is None:
        return ClaimLost("taken over")
    if permission.verdict == "busy":
        return Busy("a row that names the asset is being changed", retry_after=BUSY_SECONDS)
    return _kept(permission.used_by)
