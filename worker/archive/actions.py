"""What archiving a track means. Knows the database, storage and the network by protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from worker.archive.model import ROLES, FileRole, Harvest, KnownObject, StoredFile, Track
from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless, Temporary
from worker.queue.model import Again, Claimed, Failed, Outcome, Recorded
from worker.retry import next_delay

LATE_TRIES = 3
EXPIRED = "expired at the provider"


class Library(Protocol):
    """Where tracks are read and results recorded."""

    async def load(self, work: Claimed) -> Track | None: ...
    async def gone(self, work: Claimed) -> None: ...
    async def record(
        self,
        work: Claimed,
        *,
        sources: Mapping[FileRole, str],
        files: Mapping[FileRole, StoredFile],
        missing: Sequence[str],
        message: str | None = None,
        ends: bool = True,
    ) -> str: ...


class Vault(Protocol):
    """The team's storage."""

    def holds(self, url: str) -> bool: ...
    def known(self, known: KnownObject) -> StoredFile | None: ...
    async def save(self, work: Claimed, track: Track, role: FileRole, url: str) -> StoredFile: ...


Refresh = Callable[[Track], Awaitable[Mapping[FileRole, str] | None]]


class ArchiveTrack:
    """Brings the files of one track into the vault, and records where they are.

    `refresh` asks the team for fresh URLs of files that are gone; `delays` are the seconds to
    the second, third, … try.
    """

    def __init__(
        self, library: Library, vault: Vault, refresh: Refresh, *, delays: Sequence[float]
    ) -> None:
        self._library = library
        self._vault = vault
        self._refresh = refresh
        self._delays = delays

    async def __call__(self, work: Claimed) -> Outcome:
        """Archive the track of a claimed job."""
        track = await self._library.load(work)
        if track is None:
            raise ClaimLost("another run has taken the job over")
        if not track.exists:
            await self._library.gone(work)
            return Recorded()
        if not track.playable:
            raise Pointless("the track is not completed or has no audio URL")
        fetch = _Fetch(work, track, self._vault, self._refresh)
        try:
            audio = await fetch.file("audio")
        except Temporary as error:
            return self._audio_failed(track, error)
        except Permanent as error:
            return Failed(f"{EXPIRED}: {error}" if track.expired else str(error))
        harvest = Harvest(files={"audio": audio})
        try:
            await self._complete(harvest, fetch)
        except (Outage, Busy):
            # the audio alone makes it archived; the rest waits for the storage
            await self._record(work, track, harvest, ends=False)
            raise
        return await self._end(work, track, harvest)

    def _audio_failed(self, track: Track, error: Temporary) -> Outcome:
        delay = self._next_delay(track, error.retry_after)
        if delay is None:
            return Failed(f"{EXPIRED}: {error}")
        return Again(str(error), delay)

    async def _complete(self, harvest: Harvest, fetch: _Fetch) -> None:
        for role in ROLES[1:]:
            if role not in fetch.track.sources:
                continue
            try:
                harvest.files[role] = await fetch.file(role)
            except Permanent:
                harvest.missing.append(role)
            except Temporary as error:
                harvest.waiting[role] = str(error)
                harvest.retry_after = max(harvest.retry_after or 0.0, error.retry_after or 0.0)

    async def _end(self, work: Claimed, track: Track, harvest: Harvest) -> Outcome:
        delay = self._next_delay(track, harvest.retry_after) if harvest.waiting else None
        if delay is not None:
            await self._record(work, track, harvest, ends=False)
            return Again(harvest.complaint, delay)
        harvest.missing.extend(harvest.waiting)
        await self._record(work, track, harvest, ends=True)
        return Recorded()

    async def _record(self, work: Claimed, track: Track, harvest: Harvest, *, ends: bool) -> None:
        said = await self._library.record(
            work,
            sources=track.sources,
            files=harvest.files,
            missing=harvest.missing,
            message=harvest.complaint or None,
            ends=ends,
        )
        if said.startswith("lost"):
            raise Busy("a stored file was deleted or replaced meanwhile")
        if said == "claim lost":
            raise ClaimLost("another run has taken the job over")

    def _next_delay(self, track: Track, retry_after: float | None) -> float | None:
        if not track.expired:
            delay = next_delay(
                track.attempts,
                delays=self._delays,
                retry_after=retry_after,
                seconds_left=track.seconds_left,
            )
            if delay is not None:
                return delay
        elif track.late_attempts >= LATE_TRIES:
            return None
        # some URLs outlive their announced end: it is tried a few times beyond it
        late = next_delay(max(track.late_attempts, 1), delays=self._delays, retry_after=retry_after)
        return max(late or 0.0, track.seconds_left)


class _Fetch:
    """Gets the files of one track, each from where it is to be had."""

    def __init__(self, work: Claimed, track: Track, vault: Vault, refresh: Refresh) -> None:
        self.track = track
        self._work = work
        self._vault = vault
        self._refresh = refresh
        self._fresh: Mapping[FileRole, str] | None = None
        self._asked = False

    async def file(self, role: FileRole) -> StoredFile:
        url = self.track.sources[role]
        if self._vault.holds(url):
            return StoredFile(url=url)
        known = self._verified(role)
        if known is not None:
            return known
        if role == "audio" and self.track.stored_audio is not None:
            return StoredFile(url=self.track.stored_audio)
        try:
            return await self._vault.save(self._work, self.track, role, url)
        except Permanent as error:
            return await self._from_fresh_url(role, error)
        except Temporary as error:
            if not self.track.expired or self.track.late_attempts < LATE_TRIES:
                raise
            return await self._from_fresh_url(role, error)

    def _verified(self, role: FileRole) -> StoredFile | None:
        if self.track.forced:
            return None
        for known in self.track.objects:
            stored = self._vault.known(known) if known.role == role and known.current else None
            if stored is not None:
                return replace(stored, seconds=self.track.seconds_before.get(role))
        return None

    async def _from_fresh_url(self, role: FileRole, error: Permanent | Temporary) -> StoredFile:
        if not self._asked:
            self._fresh = await self._refresh(self.track)
            self._asked = True
        fresh = (self._fresh or {}).get(role)
        if fresh is None or fresh == self.track.sources[role]:
            raise error
        return await self._vault.save(self._work, self.track, role, fresh)
