"""archive's SQL calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from worker.archive.model import ROLES, FileRole, KnownObject, StoredFile, Track
from worker.queue.model import Claimed
from worker.queue.store import Caller, patiently


class ArchiveStore:
    """Reads tracks and records what became of their files."""

    def __init__(self, database: Caller, *, language: str = "en") -> None:
        self._database = database
        self._language = language

    @patiently
    async def load(self, work: Claimed) -> Track | None:
        """The track of a claimed job as it is now; None when the claim is lost."""
        rows = await self._database.call(
            "select media_worker.archive_load(%s, %s) as track", (work.id, work.token)
        )
        found = rows[0]["track"]
        return None if found is None else _track(found)

    @patiently
    async def record(
        self,
        work: Claimed,
        *,
        sources: Mapping[FileRole, str],
        files: Mapping[FileRole, StoredFile],
        missing: Sequence[str],
        message: str | None = None,
        ends: bool = True,
    ) -> str:
        """Record a run's result if it still answers the row; returns what came of that.

        Unless it `ends` the run, the claim stays.
        """
        rows = await self._database.call(
            "select media_worker.archive_record(%s, %s, %s, %s, %s::text[], %s, %s) as said",
            (
                work.id,
                work.token,
                Jsonb(dict(sources)),
                Jsonb({role: file.as_json() for role, file in files.items()}),
                list(missing),
                message,
                ends,
            ),
        )
        return str(rows[0]["said"])

    @patiently
    async def gone(self, work: Claimed) -> None:
        """End the job of a track that is not there."""
        await self._database.call("select media_worker.archive_gone(%s, %s)", (work.id, work.token))

    @patiently
    async def fail(self, work: Claimed, message: str) -> None:
        """Fail a job for good, and tell the track's owner."""
        await self._database.call(
            "select media_worker.archive_fail(%s, %s, %s, %s)",
            (work.id, work.token, message, self._language),
        )

    async def promote(self, *, everything: bool) -> int:
        """Ask for the archiving of tracks that have fallen due."""
        window = "null" if everything else "interval '15 minutes'"
        return await self._number(f"select media_worker.archive_promote({window}) as number")

    async def schedule_missing(self) -> int:
        """Schedule completed tracks that have no schedule."""
        return await self._number("select media_worker.archive_schedule_missing() as number")

    async def overlooked(self) -> int:
        """Do what triggers could not, because others held the tracks."""
        return await self._number("select media_worker.archive_overlooked() as number")

    async def daily(self, *, at: str, limit: int) -> int:
        """The daily run, once a day over all workers; one that was missed is made up for."""
        return await self._number(
            "select case when media_worker.take_turn('archive.daily', interval '1 day',"
            " media_worker.last_daily_slot(%s::time)) then public.archive_tracks(%s) else 0 end"
            " as number",
            (at, limit),
        )

    async def configure(self, prefixes: Sequence[str]) -> None:
        """Tell the triggers which URLs point into the team's storage."""
        await self._database.call("select media_worker.archive_configure(%s)", (list(prefixes),))

    async def _number(self, query: str, params: Sequence[Any] | None = None) -> int:
        rows = await self._database.call(query, params)
        return int(rows[0]["number"])


def _track(found: Mapping[str, Any]) -> Track:
    sources = {role: found[f"{role}_url"] for role in ROLES if found[f"{role}_url"]}
    metadata = found["metadata"]
    return Track(
        id=UUID(found["track_id"]),
        exists=found["exists"],
        playable=found["playable"],
        forced=found["forced"],
        archived=bool(found["archived"]),
        user_id=found["user_id"],
        title=found["title"],
        provider=found["provider"],
        sources=sources,
        seconds_left=float(found["seconds_left"] or 0.0),
        attempts=found["attempts"],
        late_attempts=found["late_attempts"],
        objects=[KnownObject(**each) for each in found["objects"]],
        stored_audio=found["stored_audio"],
        seconds_before={
            role: metadata[role]["seconds"]
            for role in ROLES
            if isinstance(metadata.get(role), dict) and "seconds" in metadata[role]
        },
    )
