"""What keeping a target in step with a track means. Knows all around it by protocols only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic
from typing import Protocol

from worker.cdn.model import Copy, FileRole, NotThereYet, Original, PurgeRefused, Track
from worker.cdn.sidecar import Sidecar
from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless
from worker.queue.model import Again, Claimed, Done, Failed, Outcome, Recorded
from worker.retry import next_delay

# How long a key of the team's own bucket may be missing, in seconds.
PATIENCE_WITH_A_KEY = 24 * 3600.0
# Of RETRY_DELAYS: how long a sidecar that the row names may be missing.
TRIES_FOR_A_SIDECAR = 3


class Register(Protocol):
    """Where tracks are read and results recorded."""

    async def load(self, work: Claimed) -> Track | None: ...
    async def withdraw(self, work: Claimed) -> str: ...
    async def stale(self, work: Claimed) -> bool: ...
    async def deleted(
        self, work: Claimed, *, message: str | None = None, ends: bool = True
    ) -> str: ...
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
    ) -> str: ...


class Sources(Protocol):
    """Where the files of tracks come from."""

    async def audio(self, track: Track) -> Original: ...
    async def sidecar(self, track: Track) -> Sidecar: ...


class Target(Protocol):
    """A target of the CDN."""

    def room(self, *, behind: bool) -> AbstractContextManager[None]: ...
    def check(self, track: Track) -> None: ...
    def cached_urls(self, track: Track) -> Sequence[str]: ...
    def has_leftovers(self, track: Track) -> bool: ...
    async def send(
        self,
        work: Claimed,
        track: Track,
        originals: Mapping[FileRole, Original],
        *,
        overwriting: Callable[[], Awaitable[None]],
    ) -> Mapping[FileRole, Copy]: ...
    async def remove(self, work: Claimed, track: Track) -> None: ...
    async def remove_leftovers(self, work: Claimed, track: Track) -> None: ...


class Caches(Protocol):
    """The cache in front of the targets."""

    async def purge(self, urls: Sequence[str]) -> None: ...


class SyncTrack:
    """Makes one target agree with what a track's row says now.

    `explain` says of a target that is not among `targets` what to do about it; `delays` are the
    seconds to the second, third, … try.
    """

    def __init__(
        self,
        register: Register,
        sources: Sources,
        targets: Mapping[str, Target],
        caches: Caches,
        *,
        explain: Callable[[str], str],
        delays: Sequence[float],
    ) -> None:
        self._register = register
        self._sources = sources
        self._targets = targets
        self._caches = caches
        self._explain = explain
        self._delays = delays

    async def __call__(self, work: Claimed) -> Outcome:
        """Carry out a claimed job."""
        track = await self._register.load(work)
        if track is None:
            raise ClaimLost("another run has taken the job over")
        if track.wanted == "nothing":
            raise Pointless(_nothing_wanted(track))
        target = self._target(track)
        with target.room(behind=track.behind):
            if track.wanted == "upload":
                return await self._upload(work, track, target)
            return await self._delete(work, track, target)

    def _target(self, track: Track) -> Target:
        target = self._targets.get(track.target)
        if target is None:
            raise Outage(f"cdn:{track.target}", self._explain(track.target))
        return target

    async def _upload(self, work: Claimed, track: Track, target: Target) -> Outcome:
        target.check(track)
        try:
            audio = await self._sources.audio(track)
            sidecar = await self._sources.sidecar(track)
            overwriting = _Overwriting(self._register, work, track, target)
            copies = await target.send(
                work, track, {"audio": audio, "sidecar": sidecar}, overwriting=overwriting
            )
        except NotThereYet as error:
            return self._wait_for_source(track, error)
        run = _Upload(work, track, target, audio, sidecar, copies)
        return await self._end_upload(run, stale=overwriting.happened or track.stale)

    async def _end_upload(self, run: _Upload, *, stale: bool) -> Outcome:
        purged = await self._purge(run.track, run.target) if stale else _Purged()
        waits = self._sidecar_delay(run)
        leftovers = run.target.has_leftovers(run.track)
        ends = not (purged.trouble or leftovers or waits is not None)
        note = "; ".join(filter(None, (run.sidecar.note, purged.note))) or None
        stale = purged.trouble is not None
        if not await self._is_recorded(run, stale=stale, note=note, ends=ends):
            return Recorded()
        if leftovers:
            await run.target.remove_leftovers(run.work, run.track)
        if purged.trouble:
            raise purged.trouble
        if waits is not None:
            return Again(note or "", waits, counted=False)
        return Recorded() if ends else Done(note)

    async def _is_recorded(
        self, run: _Upload, *, stale: bool, note: str | None, ends: bool
    ) -> bool:
        """False when the track has changed meanwhile: then the next run does what is to do."""
        said = await self._register.record(
            run.work,
            run.track,
            run.copies,
            in_team_storage=run.audio.stored is not None and run.audio.stored.team,
            stale=stale,
            message=note,
            ends=ends,
        )
        if said == "claim lost":
            raise ClaimLost("another run has taken the job over")
        if said.startswith("lost"):
            raise Busy("a copy was deleted or replaced meanwhile")
        return said == "recorded"

    async def _delete(self, work: Claimed, track: Track, target: Target) -> Outcome:
        # the row first: at no moment does it claim a copy that is not there
        said = await self._register.withdraw(work)
        if said == "claim lost":
            raise ClaimLost("another run has taken the job over")
        if said != "withdrawn":
            return Recorded()
        try:
            target.check(track)
        except Permanent:
            # nothing can be there
            return Done(reached_service=False)
        await _Overwriting(self._register, work, track, target)()
        await target.remove(work, track)
        purged = await self._purge(track, target)
        await self._register.deleted(work, message=purged.note, ends=purged.trouble is None)
        if purged.trouble:
            raise purged.trouble
        return Recorded()

    async def _purge(self, track: Track, target: Target) -> _Purged:
        """What is on the target is recorded also where the cache could not be told."""
        urls = target.cached_urls(track)
        if not urls:
            return _Purged()
        try:
            await self._caches.purge(urls)
        except PurgeRefused as error:
            return _Purged(note=str(error))
        except Busy as error:
            return _Purged(trouble=error)
        return _Purged()

    def _wait_for_source(self, track: Track, error: NotThereYet) -> Outcome:
        waited = monotonic() - track.asked_at
        delay = self._delay(waited, seconds_left=PATIENCE_WITH_A_KEY - waited)
        if delay is None:
            return Failed(f"{error} after 24 hours: upload it, then set the job to pending")
        return Again(str(error), delay, counted=False)

    def _sidecar_delay(self, run: _Upload) -> float | None:
        """Until it is looked for again; None: it is there, or is waited for no longer."""
        if not run.sidecar.awaited:
            return None
        waited = monotonic() - run.track.asked_at
        patience = sum(self._delays[:TRIES_FOR_A_SIDECAR])
        return self._delay(waited) if waited < patience else None

    def _delay(self, waited: float, *, seconds_left: float | None = None) -> float | None:
        """The next of the delays, by the time that has passed: these tries are not counted."""
        past = sum(end <= waited for end in accumulate(self._delays))
        return next_delay(past + 1, delays=self._delays, seconds_left=seconds_left)


@dataclass(frozen=True)
class _Purged:
    """What came of telling the cache: `trouble` passes, what is in the `note` does not."""

    trouble: Busy | None = None
    note: str | None = None


@dataclass(frozen=True)
class _Upload:
    """What an upload has done so far."""

    work: Claimed
    track: Track
    target: Target
    audio: Original
    sidecar: Sidecar
    copies: Mapping[FileRole, Copy]


class _Overwriting:
    """Notes, before it happens, that a cache may hold what is about to be replaced."""

    def __init__(self, register: Register, work: Claimed, track: Track, target: Target) -> None:
        self.happened = False
        self._register = register
        self._work = work
        self._is_noted = track.stale or not target.cached_urls(track)

    async def __call__(self) -> None:
        if not self._is_noted and not await self._register.stale(self._work):
            raise ClaimLost("another run has taken the job over")
        self._is_noted = self.happened = True


def _nothing_wanted(track: Track) -> str:
    # a row that is merely not visible is not taken for deleted
    return "the track has no file_path" if track.exists else "there is no such track"
