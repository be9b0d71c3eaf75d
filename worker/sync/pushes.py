"""What the application changed becomes true at Cloudinary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from worker.cloudinary import NotFound
from worker.cloudinary.documents import RESOURCE_TYPES, TYPE
from worker.errors import Busy, ClaimLost, Permanent, Pointless, Temporary, WorkError
from worker.queue.model import Claimed, Done, Outcome, unexpected
from worker.sync.model import Changing, Document, Kind, Push, Uploading
from worker.sync.store import SyncStore

Outcomes = dict[UUID, Outcome | WorkError]
UPLOADS_AT_ONCE = 4
WAIT_FOR_DELETION = 1.0  # seconds
PUSHED = (*RESOURCE_TYPES, "auto")


class PushChanges:
    """Uploads, renames and changes assets as their rows say."""

    def __init__(self, store: SyncStore, account: Changing, uploads: Uploading) -> None:
        self._store = store
        self._account = account
        self._uploads = uploads
        self._slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def __call__(self, works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        """What came of each; one that fails harms none of the others."""
        claims = {work.id: work for work in works}
        outcomes: Outcomes = {work.id: ClaimLost("taken over") for work in works}
        pushes = await self._store.pushes(works)
        outcomes |= {push.id: error for push in pushes if (error := _hopeless(push))}
        pushes = [push for push in pushes if not _hopeless(push)]
        uploads = [push for push in pushes if push.uploads]
        ended = await asyncio.gather(*(self._upload(claims[push.id], push) for push in uploads))
        outcomes |= {push.id: outcome for push, outcome in zip(uploads, ended, strict=True)}
        changes = [push for push in pushes if not push.uploads]
        return outcomes | await self._change_all(claims, changes)

    async def _upload(self, work: Claimed, push: Push) -> Outcome | WorkError:
        mine = push.mine
        try:
            async with self._slots:
                await self._wait_for_deletion(push.kind, mine["public_id"])
                started = await self._store.now()
                found = await self._uploads.upload(mine["source_url"], **_options(mine))
                said = await self._store.uploaded(
                    work, found, source_url=mine["source_url"], looked_at=started
                )
        except WorkError as error:
            return error
        except Exception as error:
            return unexpected(error, id=str(work.id))
        return _recorded(said, found)

    async def _change_all(self, claims: Mapping[UUID, Claimed], pushes: Sequence[Push]) -> Outcomes:
        outcomes: Outcomes = {}
        for kind in {push.kind for push in pushes}:
            same = [push for push in pushes if push.kind == kind]
            outcomes |= await self._change_same(kind, claims, same)
        return outcomes

    async def _change_same(
        self, kind: Kind, claims: Mapping[UUID, Claimed], pushes: Sequence[Push]
    ) -> Outcomes:
        try:
            return await self._change_of(kind, claims, pushes)
        except (Permanent, Temporary) as error:
            if len(pushes) == 1:
                return {pushes[0].id: error}
        except WorkError as error:
            return {push.id: error for push in pushes}
        # one of them is to blame: its name, say
        outcomes: Outcomes = {}
        for push in pushes:
            outcomes |= await self._change_same(kind, claims, [push])
        return outcomes

    async def _change_of(
        self, kind: Kind, claims: Mapping[UUID, Claimed], pushes: Sequence[Push]
    ) -> Outcomes:
        looked_at = await self._store.now()
        names = {name for push in pushes for name in (push.name, push.mine["public_id"])}
        found = await self._account.look(*kind, sorted(names))
        # both sides may have changed: what comes from there is in the rows before they are pushed
        await self._store.mirror(found, looked_at, source="cloudinary")
        there = {asset["asset_id"] for asset in found}
        outcomes: Outcomes = {}
        absent = [push for push in pushes if not _is_there(push, found)]
        outcomes |= {push.id: _absence(push) for push in absent}
        rest = [claims[push.id] for push in pushes if push.id not in outcomes]
        for push in await self._store.pushes(rest) if rest and there else ():
            outcomes[push.id] = await self._change(claims[push.id], push)
        return outcomes

    async def _change(self, work: Claimed, push: Push) -> Outcome | WorkError:
        try:
            name, changes = push.name, push.differences
            to = changes.pop("public_id", name)
            if to != name:
                started = await self._store.now()
                found = await self._rename(push, to)
                await self._record(work, {"public_id": to, "found": found}, "rename", started)
            if changes:
                started = await self._store.now()
                found = await self._account.update(*push.kind, to, changes)
                await self._record(work, {**changes, "found": found}, "update", started)
            return Done()
        except NotFound as error:
            return Temporary(f"{error}: it went just now, and is looked for again")
        except WorkError as error:
            return error
        except Exception as error:
            return unexpected(error, id=str(work.id))

    async def _wait_for_deletion(self, kind: Kind, name: str) -> None:
        """What comes to a name in the midst of a deletion would be deleted. Raises `Busy`."""
        if await self._store.name_is_being_deleted(kind.type, name):
            raise Busy(f"{name} is being deleted; waiting", retry_after=WAIT_FOR_DELETION)

    async def _rename(self, push: Push, to: str) -> Document:
        await self._wait_for_deletion(push.kind, to)
        try:
            return await self._uploads.rename(push.name, to, **push.kind._asdict())
        except Permanent as error:
            if await self._store.name_is_leaving(push.kind, to):
                raise Temporary(f"{error}; the asset that has the name is about to go") from error
            raise

    async def _record(
        self, work: Claimed, pushed: Document, operation: str, started: datetime
    ) -> None:
        said = await self._store.changed(work, pushed, operation=operation, started=started)
        if said != "recorded":
            raise ClaimLost("taken over")


def _hopeless(push: Push) -> WorkError | None:
    if push.gone:
        return Pointless("the row was deleted")
    # both become part of a URL
    if push.kind.resource_type not in PUSHED or not TYPE.fullmatch(push.kind.type):
        return Permanent(
            "no asset can be of this kind: set resource_type to image, video (audio too) or raw,"
            " and type to upload, private or authenticated"
        )
    return None


def _recorded(said: str, found: Document) -> Outcome | WorkError:
    match said:
        case "recorded":
            return Done()
        case "gone":
            return Pointless("the row was deleted meanwhile; its asset's deletion is queued")
        case "taken":
            name = f"{found['resource_type']}/{found['type']}/{found['public_id']}"
            return Permanent(
                f"another row has the asset {name}, whose file this one's has replaced: give the"
                " row another public_id, and upload that file again"
            )
        case _:
            return ClaimLost("taken over")


def _is_there(push: Push, found: Sequence[Document]) -> bool:
    # what has the name that it is to be given is another asset
    return any(
        asset["asset_id"] == push.mine["asset_id"] or asset["public_id"] == push.name
        for asset in found
    )


def _absence(push: Push) -> WorkError:
    if push.base is not None:
        # to mark rows deleted is up to comparisons, which notice when it is the wrong account
        return Permanent(
            f"Cloudinary no longer has {push.kind.resource_type} {push.name}: delete the row, or"
            " set another source_url to upload"
        )
    return Permanent(
        f"Cloudinary has no {push.kind.resource_type} {push.name}, and the row has no source_url"
        " to upload: set one, or correct public_id and resource_type"
    )


def _options(mine: Document) -> Document:
    # the column's default says image of whatever it is
    kind = "auto" if mine["resource_type"] == "image" else mine["resource_type"]
    options = {
        "public_id": mine["public_id"],
        "resource_type": kind,
        "type": mine["type"],
        "tags": mine["tags"],
        "context": mine["context"],
        "overwrite": True,
        "invalidate": True,
    }
    if mine["display_name"]:
        options["display_name"] = mine["display_name"]
    if mine["folder"]:
        options["asset_folder"] = mine["folder"]
    return options
