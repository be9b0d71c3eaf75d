"""Where a track's audio and sidecar come from."""

from __future__ import annotations

from contextlib import closing

from worker.cdn.locations import Key, Location, Locations
from worker.cdn.model import MOST_TRIES, NotThereYet, Original, StoredAt, Track
from worker.cdn.originals import Reading, StoredOriginal, WebOriginal, not_there
from worker.cdn.shared import Shared
from worker.cdn.sidecar import MOST_BYTES, Sidecar, checked_json
from worker.cdn.spool import too_long
from worker.download import Body, Downloader
from worker.errors import Permanent, Temporary
from worker.storage import NoSuchObject, ObjectInfo

BLOCK = 64 * 1024


class Sources:
    """Finds originals. What several targets need is asked for once.

    `sidecars` downloads sidecars, which have a smaller limit than audio.
    """

    def __init__(self, locations: Locations, reading: Reading, sidecars: Downloader) -> None:
        self._locations = locations
        self._reading = reading
        self._sidecars = sidecars
        self._heads: Shared[ObjectInfo] = Shared()
        self._documents: Shared[bytes] = Shared()

    async def audio(self, track: Track) -> Original:
        """The audio that the row names.

        Raises `NotThereYet` for a key without an object, `Permanent` for what is too long or
        can be no path, and the errors of the storage.
        """
        location = self._locations.find(track.file_path or "")
        if not isinstance(location, Key):
            return WebOriginal(location.url, self._reading, since=track.asked_at)
        info = await self._head(location, since=track.asked_at)
        if info.size > self._reading.most:
            raise too_long(location.store.target.bucket, self._reading.most)
        return StoredOriginal(StoredAt(location.store, info, location.team), self._reading)

    async def sidecar(self, track: Track) -> Sidecar:
        """The file that the row names, or that beside the audio; else what the metadata make.

        Raises `Temporary`, but not on the last try, and the errors of the storage.
        """
        made = track.sidecar.encode()
        try:
            location = self._sidecar_location(track)
            if location is None:
                return Sidecar(made)
            data = await self._document(location, since=track.asked_at)
            return Sidecar(checked_json(data))
        except NotThereYet as error:
            return self._missing(track, made, error)
        except Permanent as error:
            return Sidecar(made, note=_note(error))
        except Temporary as error:
            if track.attempts < MOST_TRIES:
                raise
            return Sidecar(made, note=_note(error))

    def _sidecar_location(self, track: Track) -> Location | None:
        if track.sidecar_path:
            return self._locations.find(track.sidecar_path)
        return self._locations.beside(self._locations.find(track.file_path or ""))

    def _missing(self, track: Track, made: bytes, error: NotThereYet) -> Sidecar:
        if not track.sidecar_path:
            return Sidecar(made)
        return Sidecar(made, note=_note(error), awaited=True)

    async def _head(self, place: Key, *, since: float) -> ObjectInfo:
        def look() -> ObjectInfo:
            info = place.store.head(place.key)
            if info is None:
                raise not_there(place.store, place.key)
            return info

        return await self._heads.get(place, lambda: self._reading.call(look), since=since)

    async def _document(self, location: Location, *, since: float) -> bytes:
        def read() -> bytes:
            if isinstance(location, Key):
                return _stored(location)
            with self._sidecars.open(location.url) as body:
                return _whole(body)

        return await self._documents.get(location, lambda: self._reading.call(read), since=since)


def _stored(place: Key) -> bytes:
    try:
        with closing(place.store.download(place.key)) as download:
            if download.length > MOST_BYTES:
                raise Permanent(f"is larger than {MOST_BYTES} bytes")
            return download.read()
    except NoSuchObject:
        raise not_there(place.store, place.key) from None


def _whole(body: Body) -> bytes:
    data, buffer = bytearray(), memoryview(bytearray(BLOCK))
    while count := body.readinto(buffer):
        data += buffer[:count]
    return bytes(data)


def _note(error: Exception) -> str:
    return f"the sidecar was made of the metadata: {error}"
