"""Where Media Worker keeps objects: in buckets, and below prefixes of CDN targets'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.cdn.setup import target_accounts
from worker.cdn.target import EXTENSIONS
from worker.settings import Settings
from worker.storage import ObjectStore, StorageTarget
from worker.storage.account import Account

PRIMARY = "storage"


@dataclass(frozen=True)
class Form:
    """How the keys of copies are made: the track's id stands in the middle."""

    role: str
    prefix: str
    suffix: str

    def track_of(self, key: str) -> str | None:
        """The id of the track whose copy has this key; None for a key of another form."""
        if not key.startswith(self.prefix) or not key.endswith(self.suffix):
            return None
        return key[len(self.prefix) : len(key) - len(self.suffix)] or None


@dataclass(frozen=True)
class Place:
    """A bucket, or what stands below one prefix of it. `forms`: the keys of copies there."""

    store: ObjectStore
    prefix: str = ""
    forms: tuple[Form, ...] = ()

    @property
    def service(self) -> str:
        """The service that holds the bucket, as in the ledger."""
        return self.store.target.service

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.store.target.bucket

    @property
    def name(self) -> str:
        """As people and programs name it: `storage:tracks-audio`, `cdn:r2_cdn/audio/`."""
        if self.service == PRIMARY:
            return f"{self.service}:{self.bucket}"
        return f"{self.service}/{self.prefix}"

    @property
    def below(self) -> str | None:
        """The first key, in byte order, that comes after all that begin with the prefix."""
        return self.prefix[:-1] + chr(ord(self.prefix[-1]) + 1) if self.prefix else None

    def track_of(self, key: str) -> str | None:
        """The id of the track whose copy has this key; None for a key of another form."""
        return next((track for form in self.forms if (track := form.track_of(key))), None)


def configured_places(settings: Settings) -> list[Place]:
    """Every place that the settings name, and say how to reach."""
    access = settings.storage(settings.storage_audio_bucket)
    primary = None if access is None else Account(StorageTarget.of(access))
    return places(settings, primary=primary, targets=target_accounts(settings))


def places(
    settings: Settings, *, primary: Account | None, targets: Mapping[str, Account]
) -> list[Place]:
    """The buckets of tracks' files in the primary storage, and the prefixes of CDN targets."""
    found = [] if primary is None else list(_track_places(settings, primary))
    return found + [each for target in targets.values() for each in _copy_places(settings, target)]


def _track_places(settings: Settings, account: Account) -> Iterator[Place]:
    names = dict.fromkeys(settings.track_buckets.values())
    yield from (Place(account.bucket(name)) for name in names)


def _copy_places(settings: Settings, account: Account) -> Iterator[Place]:
    prefixes = {"audio": settings.cdn_audio_prefix, "sidecar": settings.cdn_metadata_prefix}
    forms = tuple(
        Form(role, _with_slash(prefixes[role]), f".{extension}")
        for role, extension in EXTENSIONS.items()
    )
    every = dict.fromkeys(form.prefix for form in forms)
    for prefix in every:
        # one that stands below the other is looked through with it
        if not any(prefix != other and prefix.startswith(other) for other in every):
            inside = tuple(form for form in forms if form.prefix.startswith(prefix))
            yield Place(account.bucket(account.target.bucket), prefix, inside)


def _with_slash(prefix: str) -> str:
    inner = prefix.strip("/")
    return f"{inner}/" if inner else ""
