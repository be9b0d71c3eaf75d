"""cdn's SQL calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from worker.cdn.model import Copy, FileRole, KnownObject, Track
from worker.queue.model import Claimed
from worker.queue.store import Caller, Row, patiently, plain_text

# The metadata as PostgreSQL writes them: a float would not take every number.
LOAD = """
    select t - 'metadata' as track, (
        case jsonb_typeof(t -> 'metadata')
            when 'object' then t -> 'metadata'
            when 'null' then '{}'
            else jsonb_build_object('metadata', t -> 'metadata')
        end || jsonb_build_object('track_id', t -> 'track_id'))::text as sidecar
    from media_worker.cdn_load(%s, %s) as t
"""
FIELDS = (
    "track_id", "target", "wanted", "exists", "file_path", "sidecar_path", "version", "attempts",
    "stale", "behind",
)  # fmt: skip
OBJECT_FIELDS = (
    "role", "bucket", "key", "state", "bytes", "sha256", "etag", "content_type", "source_hash"
)  # fmt: skip


class CdnStore:
    """Reads tracks, and records what became of their copies."""

    def __init__(self, database: Caller) -> None:
        self._database = database

    @patiently
    async def load(self, work: Claimed) -> Track | None:
        """The track of a claimed job as it is now; None when the claim is lost."""
        now = monotonic()
        rows = await self._database.call(LOAD, (work.id, work.token))
        return None if rows[0]["track"] is None else _track(rows[0], now=now)

    @patiently
    async def withdraw(self, work: Claimed) -> str:
        """Have the row claim no copy on the target any more.

        Anything but `withdrawn`, and the run has ended: nothing is to be deleted.
        """
        return await self._said("select media_worker.cdn_withdraw(%s, %s) as said", work)

    @patiently
    async def stale(self, work: Claimed) -> bool:
        """A cache may hold what is about to be replaced. False: the claim is lost."""
        rows = await self._database.call(
            "select media_worker.cdn_stale(%s, %s) as held", (work.id, work.token)
        )
        return bool(rows[0]["held"])

    @patiently
    async def deleted(self, work: Claimed, *, message: str | None = None, ends: bool = True) -> str:
        """The copies are gone; unless it `ends` the run, the claim stays."""
        query = "select media_worker.cdn_deleted(%s, %s, %s, %s) as said"
        return await self._said(query, work, _text(message), ends)

    @patiently
    async def record(
        self,
        work: Claimed,
        track: Track,
        copies: Mapping[FileRole, Copy],
        *,
        in_team_storage: bool,
        stale: bool,
        message: str | None = None,
        ends: bool = True,
    ) -> str:
        """The copies are there, of the track as it was read; returns what came of that.

        Unless it `ends` the run, the claim stays.
        """
        return await self._said(
            "select media_worker.cdn_record(%s, %s, version => %s, in_team_storage => %s,"
            " cdn_url => %s, sidecar_cdn_url => %s, sent => %s, stale => %s, message => %s,"
            " ends => %s) as said",
            work,
            track.version,
            in_team_storage,
            copies["audio"].url,
            copies["sidecar"].url,
            any(copy.sent for copy in copies.values()),
            stale,
            _text(message),
            ends,
        )

    async def configure(self, targets: Sequence[str]) -> None:
        """Tell the triggers which targets there are."""
        await self._database.call("select media_worker.cdn_configure(%s)", (list(targets),))

    async def reconcile(self, *, most: int) -> int:
        """Ask for the copies of tracks that were written while no target was known."""
        rows = await self._database.call("select media_worker.cdn_reconcile(%s) as number", (most,))
        return int(rows[0]["number"])

    async def _said(self, query: str, work: Claimed, *more: object) -> str:
        rows = await self._database.call(query, (work.id, work.token, *more))
        return str(rows[0]["said"])


def _track(row: Row, *, now: float) -> Track:
    found: Mapping[str, Any] = row["track"]
    objects = [
        KnownObject(**{name: each.get(name) for name in OBJECT_FIELDS})
        for each in found["objects"] or ()
    ]
    return Track(
        **{name: found[name] for name in FIELDS},
        sidecar=row["sidecar"],
        asked_at=now - float(found["waited"] or 0.0),
        objects=objects,
    )


def _text(message: str | None) -> str | None:
    return None if message is None else plain_text(message)
