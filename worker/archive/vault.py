"""The team's storage, as archiving sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from worker.archive.model import FileRole, KnownObject, StoredFile, Track
from worker.download import Role
from worker.ingest import Errand, Ingest, Ingested
from worker.queue.model import Claimed
from worker.storage.ledger import Place
from worker.storage.store import ObjectStore

CONTENT: Mapping[FileRole, Role] = {"audio": "audio", "cover": "image", "video": "video"}
SERVICE = "storage"


class TrackVault:
    """Saves tracks' files in one bucket per role.

    `prefixes` are the URL prefixes of the team's storage; `holds` says whether a claim stands.
    """

    def __init__(
        self,
        ingest: Ingest,
        buckets: Mapping[FileRole, ObjectStore],
        *,
        prefixes: Sequence[str],
        holds: Callable[[Claimed], Awaitable[bool]],
    ) -> None:
        self._ingest = ingest
        self._buckets = buckets
        self._prefixes = tuple(prefixes)
        self._claim_holds = holds

    def holds(self, url: str) -> bool:
        """Whether a URL points into the team's storage already."""
        return url.startswith(self._prefixes)

    def known(self, known: KnownObject) -> StoredFile | None:
        """A file that is there and verified; None in a bucket that is not configured any more."""
        stores = {store.target.bucket: store for store in self._buckets.values()}
        store = stores.get(known.bucket)
        if store is None:
            return None
        return StoredFile(
            url=store.url(known.key),
            bucket=known.bucket,
            key=known.key,
            bytes=known.bytes,
            sha256=known.sha256,
            content_type=known.content_type,
        )

    async def save(self, work: Claimed, track: Track, role: FileRole, url: str) -> StoredFile:
        """Bring the file into its bucket; see `Ingest.fetch` for the errors."""
        store = self._buckets[role]

        def place(extension: str) -> Place:
            key = f"{track.key_stem()}.{extension}"
            return Place(SERVICE, store.target.bucket, key, "tracks", str(track.id), role)

        ingested = await self._ingest.fetch(
            Errand(
                url=url,
                source_name=track.sources[role],
                role=CONTENT[role],
                store=store,
                place=place,
                token=work.token,
                is_still_ours=lambda: self._claim_holds(work),
            )
        )
        return _stored_file(ingested)


def _stored_file(ingested: Ingested) -> StoredFile:
    stored = ingested.stored
    return StoredFile(
        url=ingested.url,
        bucket=ingested.place.bucket,
        key=ingested.place.key,
        bytes=stored.bytes,
        sha256=stored.sha256,
        content_type=stored.content_type,
        seconds=ingested.seconds,
    )
