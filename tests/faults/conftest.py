"""Real workers on real parts, and what can befall either."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.archive.conftest import Archive
from tests.archive.conftest import archive as archive
from tests.cdn.site import site as site
from tests.faults.front import StorageFront
from tests.support.databases import PostgresServer
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour, Gate
from worker.demo.bodies import Body, GeneratedMp3

MIB = 1024 * 1024


@dataclass
class Faults:
    """An `Archive`, with what tests of faults ask of it."""

    archive: Archive
    front: StorageFront
    server: PostgresServer
    processes: Processes
    bodies: dict[UUID, Body] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.provider = self.archive.provider
        self.sql = self.archive.sql
        self.one = self.archive.one
        self.start = self.archive.start

    def reconnect(self) -> None:
        """The tests' own connection again, after the server was away."""
        self.archive.connection.close()
        self.archive.connection = psycopg.connect(
            self.archive.url, autocommit=True, row_factory=dict_row
        )

    def track(self, body: Body, *behaviours: Behaviour, path: str = "", **values: Any) -> UUID:
        """Insert a due track whose audio is `body`, served so, and then plainly."""
        path = path or f"/faults/{len(self.bodies)}.mp3"
        url = self.provider.serve(path, *behaviours, Behaviour(body))
        track = self.archive.insert_track(url, **values)
        self.bodies[track] = body
        return track

    def tracks(self, count: int, *, size: int = 20_000, **behaviour: Any) -> list[UUID]:
        """Due tracks with small audio, which always behaves so."""
        made = []
        for number in range(count):
            body = GeneratedMp3(1000 + len(self.bodies), size + number)
            path = f"/faults/{len(self.bodies)}.mp3"
            url = self.provider.serve(path, Behaviour(body, **behaviour))
            track = self.archive.insert_track(url)
            self.bodies[track] = body
            made.append(track)
        return made

    def gated(self, body: Body, at: int, **behaviour: Any) -> tuple[UUID, Gate]:
        """A track whose first download stops at byte `at`."""
        gate = Gate(at)
        return self.track(body, Behaviour(body, gate=gate, **behaviour)), gate

    def bury(self, worker: RunningProcess) -> None:
        """Let the worker's lease be over now, instead of in 30 seconds."""
        self.sql("delete from media_worker.workers where pid = %s", worker.pid)
        self.sql(
            "update procrastinate.procrastinate_workers"
            " set last_heartbeat = now() - interval '1 hour'"
        )

    def kill(self, worker: RunningProcess) -> None:
        """kill -9, and its lease is over."""
        worker.kill()
        self.bury(worker)

    def ready(self, worker: RunningProcess) -> RunningProcess:
        """Wait until the worker has started."""
        worker.wait_for_log("worker started")
        return worker

    def wait_for_rest(self, *, timeout: float = 30.0) -> None:
        """Until no archiving and no deletion is wanted any more."""
        wait_until(lambda: not self.unfinished(), timeout=timeout, message="the end of all work")

    def unfinished(self) -> list[dict[str, Any]]:
        return self.sql(
            "select 'archive' as kind, track_id::text as piece, status, attempts, crashes,"
            "   next_attempt_at, claim, error_message from track_archiving_jobs"
            " where status in ('pending', 'processing') or claim is not null"
            " union all select 'cleanup', object_key, status, attempts, crashes,"
            "   next_attempt_at, claim, error_message from storage_cleanup_queue"
            " where status in ('pending', 'processing') or claim is not null"
            " union all select 'due', id::text, status, null, null, null, null, null from tracks"
            " where status = 'completed' and not archived_to_storage"
            "   and archive_scheduled_at <= now() and not exists ("
            "       select from track_archiving_jobs where track_id = tracks.id"
            "       and status = 'failed')"
            " union all select what, track_id::text, null, null, null, null, null, null"
            " from media_worker.overlooked_tracks"
        )

    def assert_archived(self, *tracks: UUID) -> None:
        """Row, job, ledger and bucket agree on these tracks, byte for byte."""
        for track in tracks or self.bodies:
            row, job = self.archive.track(track), self.archive.job(track)
            key = f"{row['user_id']}/{track}.mp3"
            assert job is not None and job["status"] == "completed", job
            assert row["archived_to_storage"] is True
            assert row["storage_audio_url"].endswith(f"/{self.archive.buckets['audio']}/{key}")
            whole = b"".join(self.bodies[track].blocks())
            # digests: a difference of megabytes is nothing to print
            assert _digest(self.archive.stored("audio", key)) == _digest(whole)
            assert job["metadata"]["audio"]["bytes"] == len(whole)

    def assert_tidy(self) -> None:
        """No object and no open upload that the ledger does not know, and no claim left."""
        for bucket in self.archive.buckets.values():
            known = {
                row["object_key"]
                for row in self.sql(
                    "select object_key from media_worker.objects where bucket = %s", bucket
                )
            }
            assert set(self.archive.s3.keys(bucket)) <= known
            assert self.archive.s3.open_uploads(bucket) == []
        assert self.sql("select * from media_worker.objects where claim is not null") == []

    def burned(self) -> list[dict[str, Any]]:
        """Work that took more than one counted try, or is remembered as a crash."""
        return self.sql(
            "select track_id, attempts, crashes, error_message from track_archiving_jobs"
            " where attempts > 1 or crashes > 0"
        )


@pytest.fixture
def front(s3: Any) -> Iterator[StorageFront]:
    """What workers take for the storage: in order, until a test says otherwise."""
    with StorageFront(s3.endpoint) as started:
        yield started


@pytest.fixture
def faults(
    archive: Archive,
    front: StorageFront,
    postgres_server: PostgresServer,
    processes: Processes,
) -> Iterator[Faults]:
    archive.env["STORAGE_ENDPOINT"] = front.endpoint
    made = Faults(archive, front, postgres_server, processes)
    yield made
    made.archive.connection.close()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
