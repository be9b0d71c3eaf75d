"""Where a path in a row leads: to a key in a bucket that is ours, or to somebody's URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from worker.errors import Outage, Permanent
from worker.storage import ForeignUrl, ObjectStore

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True)
class Key:
    """A key in a bucket that is reached with a key of ours; `team`: in the primary storage."""

    store: ObjectStore
    key: str
    team: bool


@dataclass(frozen=True)
class Web:
    """A URL that is downloaded; it may carry a signature, and is never shown."""

    url: str


Location = Key | Web


class Locations:
    """Finds where paths lead. `team` are the buckets of the primary storage, that for plain keys
    first (none: it is not configured); `targets` those of the CDN.
    """

    def __init__(self, team: Sequence[ObjectStore], targets: Sequence[ObjectStore]) -> None:
        self._team = team
        self._targets = targets

    def find(self, path: str) -> Location:
        """Where a `file_path` or `sidecar_path` leads; whether there is anything shows later.

        Raises `Permanent` for what can be neither, and `Outage` for a key while the primary
        storage is not configured.
        """
        scheme = _SCHEME.match(path.strip())
        if scheme is None:
            return Key(self._source_bucket(), path, team=True)
        if scheme[1].lower() not in ("http", "https"):
            raise Permanent("a path is a key in STORAGE_SOURCE_BUCKET, or an http or https URL")
        return self._ours(path.strip()) or Web(path.strip())

    def beside(self, audio: Location) -> Key | None:
        """Where an audio file's sidecar is if nobody says so: beside it, in the source bucket."""
        if isinstance(audio, Web) or audio.store not in self._team[:1]:
            return None
        folder, slash, name = audio.key.rpartition("/")
        stem = name.rpartition(".")[0] or name
        return Key(audio.store, f"{folder}{slash}{stem}.json", team=True)

    def _source_bucket(self) -> ObjectStore:
        if not self._team:
            raise Outage(
                "storage",
                "the path is a key in the primary storage, which is not configured: set "
                "STORAGE_ENDPOINT, STORAGE_ACCESS_KEY_ID and STORAGE_SECRET_ACCESS_KEY",
            )
        return self._team[0]

    def _ours(self, url: str) -> Key | None:
        for store in (*self._team, *self._targets):
            try:
                return Key(store, store.key_from_url(url), team=store in self._team)
            except ForeignUrl:
                continue
        return None
