"""Archived tracks and CDN copies, tampered with, and the check that is to notice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.s3.models import s3_backends

from tests.archive.conftest import Archive, archive
from worker.check.actions import Report
from worker.check.command import check_now
from worker.check.model import Options
from worker.demo.bodies import media
from worker.settings import load_settings

__all__ = ["archive"]

MELODY = media("melody.mp3").content
COVER = media("cover.jpg").content


@dataclass
class Site:
    """An archive in a state of rest, and checks of it."""

    archive: Archive

    @property
    def bucket(self) -> str:
        """Where the audio is."""
        return self.archive.buckets["audio"]

    @property
    def place(self) -> str:
        """The bucket, as a check names it."""
        return f"storage:{self.bucket}"

    def track(self, *, cover: bool = False) -> UUID:
        """A track that is archived."""
        provider, archive = self.archive.provider, self.archive
        urls = {"audio": provider.url("/ok/melody.mp3"), "cover": provider.url("/ok/cover.jpg")}
        track = archive.insert_track(
            urls["audio"], cover_url=urls["cover"] if cover else None, created_at="now"
        )
        archive.sql("delete from track_archiving_jobs where track_id = %s", track)
        with archive.connection.transaction():
            archive.sql("select media_worker.say_recording(true)")
            archive.update(track, "archived_to_storage = true, archived_at = now()")
            self._store(track, "audio", "mp3", MELODY, urls["audio"])
            if cover:
                self._store(track, "cover", "jpg", COVER, urls["cover"])
        return track

    def tracks(self, number: int) -> list[UUID]:
        """Tracks that are archived."""
        return [self.track() for _ in range(number)]

    def _store(self, track: UUID, role: str, extension: str, data: bytes, url: str) -> None:
        bucket = self.archive.buckets[role]
        key = f"{self.archive.track(track)['user_id']}/{track}.{extension}"
        self.put(key, data, bucket=bucket)
        etag = self.archive.s3.head(bucket, key)["ETag"].strip('"')
        self.archive.sql(
            "insert into media_worker.objects (service, bucket, object_key, owner_table, owner_id,"
            " role, source_hash, state, bytes, sha256, etag, content_type)"
            " values ('storage', %s, %s, 'tracks', %s, %s, media_worker.url_hash(%s), 'live',"
            " %s, %s, %s, 'audio/mpeg')",
            bucket, key, str(track), role, url, len(data), hashlib.sha256(data).hexdigest(), etag,
        )  # fmt: skip
        stored = f"{self.archive.s3.endpoint}/{bucket}/{key}"
        self.archive.update(track, f"storage_{role}_url = %s", stored)

    def key(self, track: UUID) -> str:
        """The key of a track's audio."""
        return f"{self.archive.track(track)['user_id']}/{track}.mp3"

    def put(self, key: str, data: bytes = b"something else", *, bucket: str = "") -> None:
        self.archive.s3.boto.put_object(Bucket=bucket or self.bucket, Key=key, Body=data)

    def put_strange(self, key: str) -> None:
        """Store something at a key that the server of the tests does not take in a request."""
        s3_backends[ACCOUNT]["aws"].put_object(self.bucket, key, b"something else")

    def remove(self, key: str, *, bucket: str = "") -> None:
        self.archive.s3.boto.delete_object(Bucket=bucket or self.bucket, Key=key)

    def check(self, *, age: float = 0.0, **options: Any) -> Report:
        """Check everything; nothing is too young unless `age` (seconds) says so."""
        given = Options(older_than=timedelta(seconds=age), **options)
        return check_now(load_settings(), given, quiet=True)

    def found(self, **options: Any) -> list[tuple[str, str]]:
        """What a check finds: kinds and keys."""
        return [(each.kind, each.key) for each in self.check(**options).findings]


@pytest.fixture
def site(archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    monkeypatch.chdir(tmp_path)
    for name, value in archive.env.items():
        monkeypatch.setenv(name, value)
    return Site(archive)
