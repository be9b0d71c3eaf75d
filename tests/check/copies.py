"""Copies on two CDN targets, as a worker has left them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.archive.conftest import Archive
from tests.check.conftest import MELODY
from worker.check.actions import Report
from worker.check.command import check_now
from worker.check.model import Options
from worker.settings import load_settings

TARGETS = ("r2_cdn", "second")
EXTENSIONS = {"audio": "mp3", "sidecar": "json"}
FOLDERS = {"audio": "audio", "sidecar": "metadata"}


@dataclass
class Copies:
    """The database and the targets; `buckets` by target, `sources` holds what is copied."""

    archive: Archive
    sources: str
    buckets: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)

    def track(self, name: str, **values: Any) -> str:
        """A track that is on both targets, at rest."""
        self.archive.s3.boto.put_object(Bucket=self.sources, Key=f"{name}.mp3", Body=MELODY)
        self.insert(name, file_path=f"{name}.mp3", **values)
        for target in TARGETS:
            for role, data in {"audio": MELODY, "sidecar": self.sidecar(name)}.items():
                self._store(name, target, role, data)
        self.claim(name, *TARGETS)
        return name

    def insert(self, name: str, **values: Any) -> None:
        """A row of which nothing is asked for."""
        row = {"track_id": name, **values}
        marks = ", ".join(["%s"] * len(row))
        self.archive.sql(
            f"insert into audio_tracks ({', '.join(row)}) values ({marks})", *row.values()
        )
        self.archive.sql(
            "update cdn_sync_jobs set status = 'completed', completed_at = now(),"
            " cdn_url = case target when 'r2_cdn' then %s else 'elsewhere' end where track_id = %s",
            self.url(name),
            name,
        )

    def claim(self, name: str, *targets: str) -> None:
        """Have the row say that its copy is on these targets."""
        said = dict.fromkeys(targets, True)
        with self.archive.connection.transaction():
            self.archive.sql("select media_worker.say_recording(true)")
            self.archive.sql(
                "update audio_tracks set storage_locations = %s, cdn_url = %s,"
                " cdn_uploaded_at = now() where track_id = %s",
                json.dumps(said),
                self.url(name),
                name,
            )

    def row(self, name: str) -> dict[str, Any]:
        return self.archive.sql("select * from audio_tracks where track_id = %s", name)[0]

    def claims(self, name: str) -> dict[str, bool]:
        """What the row says of each target."""
        said = self.row(name)["storage_locations"] or {}
        return {target: said.get(target, False) for target in TARGETS}

    def url(self, name: str) -> str:
        return f"https://cdn.example.com/audio/{name}.mp3"

    def sidecar(self, name: str) -> bytes:
        return json.dumps({"track_id": name}).encode()

    def key(self, name: str, role: str = "audio") -> str:
        return f"{FOLDERS[role]}/{name}.{EXTENSIONS[role]}"

    def put(self, target: str, key: str, data: bytes = b"something else") -> None:
        self.archive.s3.boto.put_object(Bucket=self.buckets[target], Key=key, Body=data)

    def remove(self, target: str, key: str) -> None:
        self.archive.s3.boto.delete_object(Bucket=self.buckets[target], Key=key)

    def keys(self, target: str) -> list[str]:
        return self.archive.s3.keys(self.buckets[target])

    def work(self) -> None:
        """Let a worker do what is due."""
        self.archive.start("--once", **self.env).wait(30)

    def check(self, *, age: float = 0.0, **options: Any) -> Report:
        given = Options(older_than=timedelta(seconds=age), **options)
        return check_now(load_settings(), given, quiet=True)

    def found(self, **options: Any) -> list[tuple[str, str, str]]:
        """What a check finds: places, kinds and keys."""
        return [(each.place, each.kind, each.key) for each in self.check(**options).findings]

    def _store(self, name: str, target: str, role: str, data: bytes) -> None:
        key = self.key(name, role)
        self.put(target, key, data)
        etag = self.archive.s3.head(self.buckets[target], key)["ETag"].strip('"')
        self.archive.sql(
            "insert into media_worker.objects (service, bucket, object_key, owner_table, owner_id,"
            " role, state, bytes, sha256, etag) values (%s, %s, %s, 'audio_tracks', %s, %s, 'live',"
            " %s, %s, %s)",
            f"cdn:{target}", self.buckets[target], key, name, role, len(data),
            hashlib.sha256(data).hexdigest(), etag,
        )  # fmt: skip
