"""Secrets stay where they belong: marked ones are looked for everywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.buckets import S3ForTests
from tests.support.databases import changed_url
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour, page, redirect, refusal
from worker.demo.provider import Provider

TOKEN = "Mark1token"
ACCESS_KEY, SECRET_KEY, PASSWORD, API_SECRET = "MARK2ACCESS", "Mark3secret", "Mark4db", "Mark5api"
CREDENTIALS = (ACCESS_KEY, SECRET_KEY, PASSWORD, API_SECRET, "X-Amz-Signature", "X-Amz-Credential")

# The columns that are there for a provider's own URL.
URL_COLUMNS = {
    (table, column)
    for table, prefix in (("public.tracks", ""), ("public.track_archiving_jobs", "original_"))
    for column in (f"{prefix}audio_url", f"{prefix}cover_url", f"{prefix}video_url")
}


class Scene:
    """A database full of marked URLs, and workers with marked credentials."""

    def __init__(
        self,
        url: str,
        s3: S3ForTests,
        provider: Provider,
        processes: Processes,
        look: psycopg.Connection,
    ) -> None:
        self.url, self.look, self.provider = url, look, provider
        self._processes = processes
        self.env = {
            "DATABASE_URL": changed_url(url, password=PASSWORD),
            "STORAGE_ENDPOINT": s3.endpoint,
            "STORAGE_ACCESS_KEY_ID": ACCESS_KEY,
            "STORAGE_SECRET_ACCESS_KEY": SECRET_KEY,
            "STORAGE_AUDIO_BUCKET": s3.fresh_bucket("audio"),
            "STORAGE_COVER_BUCKET": s3.fresh_bucket("cover"),
            "STORAGE_VIDEO_BUCKET": s3.fresh_bucket("video"),
            "CLOUDINARY_URL": f"cloudinary://key:{API_SECRET}@cloud",
            "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
            "RETRY_DELAYS": "0.2,0.2,0.5",
        }

    def worker(self, *options: str, **changes: str) -> RunningProcess:
        return self._processes.worker(self.env | changes, *options)

    def migrate(self, **changes: str) -> RunningProcess:
        return self._processes.media_worker("migrate", env=self.env | changes)

    def insert(self, audio: str, cover: str | None = None) -> UUID:
        track = uuid4()
        self.look.execute(
            "insert into tracks (id, user_id, title, provider, status, audio_url, cover_url,"
            " created_at) values (%s, gen_random_uuid(), 'Song', 'suno', 'completed', %s, %s,"
            " now() - interval '14 days')",
            [track, audio, cover],
        )
        return track

    def wait_for(self, track: UUID, condition: str) -> None:
        query = f"select 1 from track_archiving_jobs where track_id = %s and {condition}"
        wait_until(
            lambda: self.look.execute(query.encode(), [track]).fetchone(),
            timeout=20,
            message=condition,
        )

    def places(self, mark: str) -> set[tuple[str, str]]:
        """The columns of all tables of the database in which the mark stands."""
        return {
            (row["relation"], column)
            for row in self.look.execute(_TABLES).fetchall()
            for column in row["columns"]
            if self._stands_in(mark, row["relation"], column)
        }

    def _stands_in(self, mark: str, relation: str, column: str) -> bool:
        query = sql.SQL("select 1 from {} where strpos({}::text, %s) > 0 limit 1").format(
            sql.Identifier(*relation.split(".")), sql.Identifier(column)
        )
        return self.look.execute(query, [mark]).fetchone() is not None


@pytest.fixture
def scene(
    database: str, s3: S3ForTests, provider: Provider, processes: Processes
) -> Iterator[Scene]:
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as look:
        yield Scene(database, s3, provider, processes, look)


def test_neither_logs_nor_tables_tell_a_secret(scene: Scene) -> None:
    good, failing, trying = _insert_tracks(scene)
    assert scene.places(TOKEN) <= URL_COLUMNS  # the queue's jobs carry ids only
    worker = scene.worker()
    for track in good:
        scene.wait_for(track, "status = 'completed'")
    for track in failing:
        scene.wait_for(track, "status = 'failed' and error_message <> ''")
    for track in trying:
        scene.wait_for(track, "error_message <> ''")
    scene.look.execute("delete from tracks where id = any (%s)", [good])
    wait_until(lambda: not scene.look.execute("select 1 from media_worker.objects").fetchall())
    assert worker.terminate() == 0
    _tells_nothing(scene, worker)


def test_an_outage_of_the_storage_tells_no_secret(scene: Scene) -> None:
    track = scene.insert(scene.provider.url(f"/ok/melody.mp3?token={TOKEN}"))
    for changes in (
        {"STORAGE_ENDPOINT": "http://127.0.0.1:9"},
        {"STORAGE_AUDIO_BUCKET": "no-such-bucket"},
        {"STORAGE_ENDPOINT": scene.provider.url("")},
    ):
        scene.look.execute("update track_archiving_jobs set status = 'failed', claim = null")
        scene.look.execute("delete from media_worker.outages")
        scene.look.execute("update track_archiving_jobs set status = 'pending'")
        worker = scene.worker(**changes)
        scene.wait_for(track, "error_message <> ''")
        worker.terminate()
        _tells_nothing(scene, worker)


def test_a_database_that_is_not_there_tells_no_password(scene: Scene) -> None:
    for url in (
        f"postgresql://user:{PASSWORD}@127.0.0.1:9/db",
        f"postgresql//user:{PASSWORD}@127.0.0.1:9/db",
        f"host=127.0.0.1 port=9 user=user password={PASSWORD}",
    ):
        migration = scene.migrate(DATABASE_URL=url)
        assert migration.wait() != 0
        assert migration.log.strip()
        assert PASSWORD not in migration.log


def _insert_tracks(scene: Scene) -> tuple[list[UUID], list[UUID], list[UUID]]:
    """Those that are archived, those that fail at once, those that are tried again."""
    provider, query = scene.provider, f"?token={TOKEN}&X-Amz-Signature={TOKEN}"
    target = provider.url(f"/ok/melody.mp3{query}")
    provider.serve("/moved", redirect(target))
    provider.serve("/page", page(f"Sign in with {TOKEN}"))
    provider.serve("/round", redirect(provider.url(f"/round{query}")))
    provider.serve("/inside", redirect(f"http://10.0.0.1/{query}"))
    provider.serve("/broken", refusal(500))
    provider.serve("/cut", Behaviour(cut_after=2000))
    good = [
        scene.insert(target, cover=provider.url(f"/ok/cover.jpg{query}")),
        scene.insert(provider.url(f"/moved{query}")),
    ]
    failing = [scene.insert(provider.url(f"/{path}{query}")) for path in ("gone", "page", "inside")]
    failing.append(scene.insert(f"ftp://user:{TOKEN}@127.0.0.1/{query}"))
    trying = [scene.insert(provider.url(f"/{path}{query}")) for path in ("broken", "cut")]
    trying.append(scene.insert(f"http://127.0.0.1:9/{query}"))
    return good, failing, trying


def _tells_nothing(scene: Scene, worker: RunningProcess) -> None:
    for mark in (TOKEN, *CREDENTIALS):
        assert mark not in worker.log
    assert all(json.loads(line) for line in worker.log.splitlines())
    assert scene.places(TOKEN) <= URL_COLUMNS
    for mark in CREDENTIALS[:4]:
        assert scene.places(mark) == set()


_TABLES = """
select c.oid::regclass::text as short, n.nspname || '.' || c.relname as relation,
    array_agg(a.attname::text) as columns
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind = 'r' and n.nspname in ('public', 'media_worker', 'procrastinate')
group by 1, 2
"""
