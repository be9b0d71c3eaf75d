"""The ledger of objects: a key is claimed before anything is put there or deleted from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from worker.queue.store import Caller, Row, patiently
from worker.storage.transfer import Stored

Standing = Literal["new", "again", "busy"]
Found = Literal["same", "other", "absent", "unknown"]


@dataclass(frozen=True)
class Place:
    """A key in a bucket of a service, and whose file is kept there."""

    service: str
    bucket: str
    key: str
    owner_table: str
    owner_id: str
    role: str

    @property
    def address(self) -> tuple[str, str, str]:
        """What names the place in the ledger."""
        return self.service, self.bucket, self.key


def url_hash(url: str) -> str:
    """SHA-256 (hex) of a source URL: the URL itself may carry a signature."""
    return hashlib.sha256(url.encode()).hexdigest()


class Ledger:
    """The ledger's SQL calls, for one worker process."""

    def __init__(self, database: Caller, worker_id: UUID) -> None:
        self._database = database
        self._worker_id = worker_id

    @patiently
    async def reserve(self, place: Place, *, source_hash: str, token: UUID) -> Standing:
        """Claim the place for an upload: `new` (never written), `again`, or `busy`."""
        rows = await self._database.call(
            "select media_worker.reserve_object(%s, %s, %s, %s, %s, %s, %s, %s, %s) as standing",
            (
                *place.address,
                place.owner_table,
                place.owner_id,
                place.role,
                source_hash,
                token,
                self._worker_id,
            ),
        )
        standing: Standing = rows[0]["standing"]
        return standing

    @patiently
    async def confirm(self, place: Place, stored: Stored, *, source_hash: str, token: UUID) -> bool:
        """The object is there and verified. False: another run has taken the place over."""
        rows = await self._database.call(
            "select media_worker.confirm_object(%s, %s, %s, %s, %s, %s, %s, %s, %s) as ours",
            (
                *place.address,
                token,
                source_hash,
                stored.bytes,
                stored.sha256,
                stored.etag,
                stored.content_type,
            ),
        )
        return bool(rows[0]["ours"])

    @patiently
    async def abandon(self, place: Place, *, token: UUID, untouched: bool) -> None:
        """The upload was given up; `untouched`: nothing of it can have become visible."""
        await self._database.call(
            "select media_worker.abandon_object(%s, %s, %s, %s, %s)",
            (*place.address, token, untouched),
        )

    @patiently
    async def forget(self, place: Place, *, token: UUID) -> bool:
        """The object was deleted. False: another run has taken the place over."""
        rows = await self._database.call(
            "select media_worker.forget_object(%s, %s, %s, %s) as ours", (*place.address, token)
        )
        return bool(rows[0]["ours"])

    async def begin_recheck(self, token: UUID, *, services: Sequence[str]) -> Row | None:
        """Claim an object that a lost run may have touched; None when there is none."""
        rows = await self._database.call(
            "select * from media_worker.begin_recheck(%s, %s, %s)",
            (token, self._worker_id, list(services)),
        )
        return rows[0] if rows else None

    @patiently
    async def end_recheck(self, object_id: int, found: Found, *, token: UUID) -> str:
        """Say what the look has shown; returns what was done about it."""
        rows = await self._database.call(
            "select media_worker.end_recheck(%s, %s, %s) as done", (object_id, token, found)
        )
        return str(rows[0]["done"])
