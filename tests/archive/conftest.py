"""A database, a storage and a provider for archiving, and workers on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import psycopg.errors
import pytest
from psycopg.rows import dict_row

from tests.support.buckets import S3ForTests
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.provider import Provider

Row = dict[str, Any]


SOURCE = "https://provider.example.com/song.mp3"


@dataclass
class Tracks:
    """A database as the application sees it; `sql` runs one statement."""

    url: str
    connection: psycopg.Connection[Row]
    notices: list[str]

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query, params)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def insert_track(
        self, audio: str | None = SOURCE, *, age: str = "14 days", **values: Any
    ) -> UUID:
        """Insert a completed track that is due, unless told otherwise."""
        key: UUID = values.pop("id", None) or uuid4()
        track = {
            "id": key,
            "user_id": uuid4(),
            "title": "Song",
            "provider": "suno",
            "status": "completed",
            "audio_url": audio,
            **values,
        }
        if "created_at" not in values:
            track["created_at"] = self.one("select now() - %s::interval", age)
        names, marks = ", ".join(track), ", ".join(["%s"] * len(track))
        self.sql(f"insert into tracks ({names}) values ({marks})", *track.values())
        return key

    def update(self, track: UUID, changes: str, *params: Any) -> None:
        self.sql(f"update tracks set {changes} where id = %s", *params, track)

    def store(self, track: UUID, *, extension: str = "mp3") -> str:
        """Make the track an archived one, as a worker does; returns its audio's URL."""
        key = f"{self.track(track)['user_id']}/{track}.{extension}"
        url = f"https://storage.example.com/tracks-audio/{key}"
        self.sql(
            "insert into media_worker.objects (service, bucket, object_key, owner_table,"
            " owner_id, role, source_hash, state, sha256, bytes)"
            " select 'storage', 'tracks-audio', %s, 'tracks', id::text, 'audio',"
            " media_worker.url_hash(audio_url), 'live', 'abc', 1 from tracks where id = %s",
            key,
            track,
        )
        self.sql("update track_archiving_jobs set status = 'completed' where track_id = %s", track)
        with self.connection.transaction():
            self.sql("select media_worker.say_recording(true)")
            self.update(
                track,
                "archived_to_storage = true, archived_at = now(), storage_audio_url = %s",
                url,
            )
        return url

    def jobs(self) -> int:
        """How many wake-ups are in the queue."""
        return int(self.one("select count(*) from procrastinate.procrastinate_jobs"))

    def refused(self, query: str, *params: Any) -> psycopg.errors.Diagnostic:
        """What the database says about a statement that it must refuse."""
        with pytest.raises(psycopg.Error) as refusal:
            self.sql(query, *params)
        return refusal.value.diag

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


@dataclass
class Archive(Tracks):
    """What a test of archiving works with: a storage, a provider and workers besides."""

    env: dict[str, str]
    s3: S3ForTests
    provider: Provider
    start: Callable[..., RunningProcess]
    buckets: dict[str, str]

    def work(self, **more: str) -> RunningProcess:
        """Let a worker do what is due, and wait for its end."""
        worker = self.start("--once", **more)
        worker.wait(30)
        return worker

    def stored(self, role: str, key: str) -> bytes:
        return self.s3.read(self.buckets[role], key)

    def keys(self, role: str) -> list[str]:
        return self.s3.keys(self.buckets[role])


@pytest.fixture
def tracks(database: str) -> Iterator[Tracks]:
    with _connected(database) as (connection, notices):
        yield Tracks(database, connection, notices)


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

    with _connected(database) as (connection, notices):
        yield Archive(
            database, connection, notices, env, s3, provider, start,
            {"audio": audio, "cover": cover, "video": video},
        )  # fmt: skip


@contextmanager
def _connected(url: str) -> Iterator[tuple[psycopg.Connection[Row], list[str]]]:
    notices: list[str] = []
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        yield connection, notices
