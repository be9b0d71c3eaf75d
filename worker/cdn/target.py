"""One target of the CDN: a bucket, and the copies of tracks in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from worker.cdn.bulkhead import Bulkhead
from worker.cdn.model import CACHE_CONTROL, ROLES, Copy, FileRole, Original, Track
from worker.cdn.sending import Errand, Means, Sending
from worker.queue.model import Claimed
from worker.storage import check_key
from worker.storage.account import Account
from worker.storage.ledger import Place

OWNER_TABLE = "audio_tracks"
EXTENSIONS: Mapping[FileRole, str] = {"audio": "mp3", "sidecar": "json"}


class CdnTarget:
    """Sends and removes the files of tracks; the bucket is that of the account's target.

    `prefixes` are those of the keys, by role. `cached`: a cache in front of its public URLs has
    to be told of changes. `holds` says whether a claim stands.
    """

    def __init__(
        self,
        account: Account,
        means: Means,
        *,
        prefixes: Mapping[FileRole, str],
        bulkhead: Bulkhead,
        holds: Callable[[Claimed], Awaitable[bool]],
        cached: bool,
    ) -> None:
        self._account = account
        self._store = account.bucket(account.target.bucket)
        self._means = means
        self._prefixes = prefixes
        self._bulkhead = bulkhead
        self._holds = holds
        self._cached = cached

    def room(self, *, behind: bool) -> AbstractContextManager[None]:
        """Be one of the runs at this target; raises `Busy` when there are enough."""
        return self._bulkhead.enter(self._service, behind=behind)

    def check(self, track: Track) -> None:
        """Raises `BadKey` for a track whose id makes no safe keys."""
        for role in ROLES:
            check_key(self._key(track, role))

    def urls(self, track: Track) -> Mapping[FileRole, str]:
        """Where the files are, or would be; unsigned."""
        return {role: self._store.url(self._key(track, role)) for role in ROLES}

    def cached_urls(self, track: Track) -> Sequence[str]:
        """The URLs that a cache may hold an older state of."""
        return list(self.urls(track).values()) if self._cached else []

    def has_leftovers(self, track: Track) -> bool:
        """Whether it has files of the track where they would not be put today."""
        return bool(self._leftovers(track))

    async def send(
        self,
        work: Claimed,
        track: Track,
        originals: Mapping[FileRole, Original],
        *,
        overwriting: Callable[[], Awaitable[None]],
    ) -> Mapping[FileRole, Copy]:
        """Have the target hold these files; see `Sending`."""
        copies: dict[FileRole, Copy] = {}
        look = True
        for role in ROLES:
            errand = Errand(
                original=originals[role],
                place=self._place(track, role),
                store=self._store,
                cache_control=CACHE_CONTROL[role],
                known=track.object_at(self._store.target.bucket, self._key(track, role)),
                token=work.token,
                is_still_ours=lambda: self._holds(work),
                overwriting=overwriting,
            )
            sending = Sending(errand, self._means)
            sent = await sending.run(look=look)
            copies[role] = Copy(self._store.url(errand.place.key), sent)
            # without an audio file of the track there is no sidecar of it
            look = sending.there is not None
        return copies

    async def remove(self, work: Claimed, track: Track) -> None:
        """Delete all files of the track; those that are not there count as deleted."""
        places = [self._place(track, role) for role in ROLES]
        await self._remove(work, [*places, *self._leftovers(track)])

    async def remove_leftovers(self, work: Claimed, track: Track) -> None:
        """Delete the track's files that are where they would not be put today."""
        await self._remove(work, self._leftovers(track))

    async def _remove(self, work: Claimed, places: Sequence[Place]) -> None:
        for bucket in dict.fromkeys(place.bucket for place in places):
            await self._means.depot.remove(
                self._account.bucket(bucket),
                [place for place in places if place.bucket == bucket],
                token=work.token,
                is_still_ours=lambda: self._holds(work),
            )

    def _leftovers(self, track: Track) -> list[Place]:
        current = {self._place(track, role).address for role in ROLES}
        known = [
            Place(self._service, each.bucket, each.key, OWNER_TABLE, track.track_id, each.role)
            for each in track.objects
        ]
        return [place for place in known if place.address not in current]

    def _place(self, track: Track, role: FileRole) -> Place:
        bucket, key = self._store.target.bucket, self._key(track, role)
        return Place(self._service, bucket, key, OWNER_TABLE, track.track_id, role)

    def _key(self, track: Track, role: FileRole) -> str:
        prefix = self._prefixes[role].strip("/")
        name = f"{track.track_id}.{EXTENSIONS[role]}"
        return f"{prefix}/{name}" if prefix else name

    @property
    def _service(self) -> str:
        return self._store.target.service
