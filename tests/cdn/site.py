"""A database, a source bucket and two CDN targets, each behind a front, and workers on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.faults.front import StorageFront
from tests.support.buckets import S3ForTests
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.bodies import media
from worker.demo.provider import Provider

Row = dict[str, Any]
MELODY = media("melody.mp3").content
FIRST, SECOND = "r2_cdn", "second"


@dataclass
class Place:
    """A bucket, and what stands before its server."""

    s3: S3ForTests
    bucket: str
    front: StorageFront

    def put(self, key: str, data: bytes, **more: str) -> None:
        self.s3.boto.put_object(Bucket=self.bucket, Key=key, Body=data, **more)

    def read(self, key: str) -> bytes:
        return self.s3.read(self.bucket, key)

    def head(self, key: str) -> dict[str, Any]:
        return self.s3.head(self.bucket, key)

    def keys(self) -> list[str]:
        return self.s3.keys(self.bucket)

    def remove(self, key: str) -> None:
        self.s3.boto.delete_object(Bucket=self.bucket, Key=key)


@dataclass
class Site:
    """What a test of the CDN works with."""

    url: str
    connection: psycopg.Connection[Row]
    env: dict[str, str]
    provider: Provider
    source: Place
    targets: dict[str, Place]
    start: Callable[..., RunningProcess]

    @property
    def first(self) -> Place:
        return self.targets[FIRST]

    @property
    def second(self) -> Place:
        return self.targets[SECOND]

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query, params)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def insert(self, track: str, file_path: str | None = None, **values: Any) -> str:
        """Insert a track; without a path, one whose audio is in the source bucket."""
        if file_path is None:
            file_path = f"songs/{track}.mp3"
            self.source.put(file_path, MELODY)
        row = {"track_id": track, "file_path": file_path, **values}
        if isinstance(row.get("metadata"), dict):
            row["metadata"] = json.dumps(row["metadata"])
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.sql(f"insert into audio_tracks ({names}) values ({marks})", *row.values())
        return track

    def update(self, track: str, changes: str, *params: Any) -> None:
        self.sql(f"update audio_tracks set {changes} where track_id = %s", *params, track)

    def delete(self, track: str) -> None:
        self.sql("delete from audio_tracks where track_id = %s", track)

    def row(self, track: str) -> Row:
        return self.sql("select * from audio_tracks where track_id = %s", track)[0]

    def job(self, track: str, target: str = FIRST) -> Row:
        query = "select * from cdn_sync_jobs where track_id = %s and target = %s"
        return (self.sql(query, track, target) or [{}])[0]

    def work(self, **more: str) -> RunningProcess:
        """Let a worker do what is due, and wait for its end."""
        worker = self.start("--once", **more)
        worker.wait(30)
        return worker

    def wait_for(self, query: str, *params: Any, timeout: float = 20.0) -> Any:
        """Wait until the query's value is true, and return it."""
        return wait_until(lambda: self.one(query, *params), timeout=timeout, message=query)

    def wait_for_job(self, track: str, status: str, target: str = FIRST) -> Row:
        wait_until(
            lambda: self.job(track, target).get("status") == status,
            timeout=20,
            message=f"{track} on {target}: {status}",
        )
        return self.job(track, target)

    def wait_for_rest(self, *, timeout: float = 20.0) -> None:
        """Until no copy is to be made or deleted any more."""
        query = "select count(*) = 0 from cdn_sync_jobs where status in ('pending', 'processing')"
        self.wait_for(query, timeout=timeout)

    def assert_copied(
        self, track: str, audio: bytes = MELODY, *targets: str, sidecar: Any = None
    ) -> None:
        """These targets (without any: all) hold both files, and row and ledger say so."""
        for name in targets or self.targets:
            place = self.targets[name]
            assert place.read(f"audio/{track}.mp3") == audio
            found = json.loads(place.read(f"metadata/{track}.json"))
            assert found == (sidecar or {"track_id": track})
            assert self.row(track)["storage_locations"][name] is True
            assert self.ledger(track, name) == ["live", "live"]

    def assert_nowhere(self, track: str, *targets: str) -> None:
        """These targets (without any: all) hold nothing of it, nor does the ledger."""
        for name in targets or self.targets:
            found = self.targets[name].keys()
            assert not [key for key in found if f"/{track}." in key]
            assert self.ledger(track, name) == []

    def ledger(self, track: str, target: str) -> Sequence[str]:
        query = "select state from media_worker.objects where owner_id = %s and service = %s"
        return [row["state"] for row in self.sql(query, track, f"cdn:{target}")]


@pytest.fixture
def site(database: str, s3: S3ForTests, provider: Provider, processes: Processes) -> Iterator[Site]:
    with ExitStack() as stack:
        places = [
            Place(s3, s3.fresh_bucket(name), stack.enter_context(StorageFront(s3.endpoint)))
            for name in ("source", "first", "second")
        ]
        env = _environment(database, *places)
        connection = stack.enter_context(
            psycopg.connect(database, autocommit=True, row_factory=dict_row)
        )
        connection.execute("select media_worker.cdn_configure(%s)", ([FIRST, SECOND],))

        def start(*options: str, **more: str) -> RunningProcess:
            given = {name: value for name, value in (env | more).items() if value}
            return processes.worker(given, *options)

        yield Site(
            database, connection, env, provider, places[0],
            {FIRST: places[1], SECOND: places[2]}, start,
        )  # fmt: skip


def _environment(database: str, source: Place, first: Place, second: Place) -> dict[str, str]:
    return {
        "DATABASE_URL": database,
        "STORAGE_ENDPOINT": source.front.endpoint,
        "STORAGE_ACCESS_KEY_ID": "source-key",
        "STORAGE_SECRET_ACCESS_KEY": "source-secret",
        "STORAGE_SOURCE_BUCKET": source.bucket,
        "R2_ENDPOINT": first.front.endpoint,
        "R2_ACCESS_KEY_ID": "first-key",
        "R2_SECRET_ACCESS_KEY": "first-secret",
        "R2_BUCKET_NAME": first.bucket,
        "R2_PUBLIC_URL": "https://cdn.example.com",
        "CDN_TARGETS": f"{FIRST},{SECOND}",
        "CDN_SECOND_ENDPOINT": second.front.endpoint,
        "CDN_SECOND_ACCESS_KEY_ID": "second-key",
        "CDN_SECOND_SECRET_ACCESS_KEY": "second-secret",
        "CDN_SECOND_BUCKET": second.bucket,
        "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
        "RETRY_DELAYS": "0.2,0.2,0.5",
    }
