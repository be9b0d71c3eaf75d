"""A database, a storage and a provider for archiving, and workers on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.buckets import S3ForTests
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.provider import Provider

Row = dict[str, Any]


@dataclass
class Archive:
    """What a test of archiving works with; `sql` runs one statement as the application would."""

    url: str
    env: dict[str, str]
    connection: psycopg.Connection[Row]
    s3: S3ForTests
    provider: Provider
    start: Callable[..., RunningProcess]
    buckets: dict[str, str]

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query, params)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def insert_track(self, audio: str, **values: Any) -> UUID:
        """Insert a completed track that is due, unless told otherwise."""
        track = {
            "id": uuid4(),
            "user_id": uuid4(),
            "title": "Song",
            "provider": "suno",
            "status": "completed",
            "audio_url": audio,
            **values,
        }
        names = ", ".join(track)
        marks = ", ".join(["%s"] * len(track))
        age = "" if "created_at" in values else ", now() - interval '14 days'"
        column = "" if "created_at" in values else ", created_at"
        self.sql(
            f"insert into tracks ({names}{column}) values ({marks}{age})", *track.values()
        )
        return track["id"]

    def job(self, track: UUID) -> Row | None:
        rows = self.sql("select * from track_archiving_jobs where track_id = %s", track)
        return rows[0] if rows else None

    def track(self, track: UUID) -> Row:
        return self.sql("select * from tracks where id = %s", track)[0]

    def wait_for(self, query: str, *params: Any, timeout: float = 20.0) -> Any:
        """Wait until the query's value is true, and return it."""
        return wait_until(lambda: self.one(query, *params), timeout=timeout, message=query)

    def wait_for_job(self, track: UUID, status: str, *, timeout: float = 20.0) -> Row:
        wait_until(
            lambda: (self.job(track) or {}).get("status") == status,
            timeout=timeout,
            message=f"job {status}",
        )
        return self.job(track) or {}

    def stored(self, role: str, key: str) -> bytes:
        return self.s3.read(self.buckets[role], key)

    def keys(self, role: str) -> list[str]:
        return self.s3.keys(self.buckets[role])


@pytest.fixture
def archive(
    database: str, s3: S3ForTests, provider: Provider, processes: Processes
) -> Iterator[Archive]:
    audio, cover, video = s3.fresh_buckets("audio", "cover", "video")
    env = {
        "DATABASE_URL": database,
        "STORAGE_ENDPOINT": s3.endpoint,
        "STORAGE_ACCESS_KEY_ID": s3.access_key_id,
        "STORAGE_SECRET_ACCESS_KEY": s3.secret_access_key,
        "STORAGE_AUDIO_BUCKET": audio,
        "STORAGE_COVER_BUCKET": cover,
        "STORAGE_VIDEO_BUCKET": video,
        "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
        "RETRY_DELAYS": "0.2,0.2,0.5",
    }

    def start(*options: str, **more: str) -> RunningProcess:
        return processes.worker(env | more, *options)

    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        yield Archive(
            database, env, connection, s3, provider, start,
            {"audio": audio, "cover": cover, "video": video},
        )  # fmt: skip
