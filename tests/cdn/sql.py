"""audio_tracks as an application sees them, and a worker's runs step by step, without a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg
import psycopg.errors
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Row = dict[str, Any]
ROLES = ("audio", "sidecar")
FIRST, SECOND = "r2_cdn", "bunny"
UPLOADS = {SECOND: "upload", FIRST: "upload"}
DELETES = {SECOND: "delete", FIRST: "delete"}


@pytest.fixture
def audio_tracks(untargeted: AudioTracks) -> AudioTracks:
    """A database whose triggers know two targets: workers have named them."""
    untargeted.configure(FIRST, SECOND)
    return untargeted


@pytest.fixture
def untargeted(database: str) -> Iterator[AudioTracks]:
    """A database in which no worker has started yet."""
    with AudioTracks.connected(database) as tracks:
        yield tracks
        assert tracks.warnings == []


@dataclass
class AudioTracks:
    """A database with audio_tracks; `sql` runs one statement."""

    url: str
    connection: psycopg.Connection[Row]
    warnings: list[str]

    @classmethod
    @contextmanager
    def connected(cls, url: str) -> Iterator[Self]:
        warnings: list[str] = []

        def note(notice: psycopg.errors.Diagnostic) -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(str(notice.message_primary))

        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            connection.add_notice_handler(note)
            yield cls(url, connection, warnings)

    @contextmanager
    def another(self) -> Iterator[AudioTracks]:
        """Another session, in an open transaction."""
        with AudioTracks.connected(self.url) as other, other.connection.transaction():
            yield other
            assert other.warnings == []

    def sql(self, query: str, *params: Any) -> list[Row]:
        cursor = self.connection.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *params: Any) -> Any:
        """The only value of the first row."""
        rows = self.sql(query, *params)
        return next(iter(rows[0].values())) if rows else None

    def values(self, query: str, *params: Any) -> list[Any]:
        """The only value of each row."""
        return [next(iter(row.values())) for row in self.sql(query, *params)]

    def refused(self, query: str, *params: Any) -> psycopg.errors.Diagnostic:
        """What the database says about a statement that it must refuse."""
        with pytest.raises(psycopg.Error) as refusal:
            self.sql(query, *params)
        return refusal.value.diag

    def configure(self, *targets: str) -> None:
        """As a worker with these targets does when it starts."""
        self.sql("select media_worker.cdn_configure(%s)", list(targets))

    def insert(self, track: str = "a", file_path: str | None = "a.mp3", **values: Any) -> None:
        row = {"track_id": track, "file_path": file_path} | _adapted(values)
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.sql(f"insert into audio_tracks ({names}) values ({marks})", *row.values())

    def update(self, changes: str, *params: Any, track: str = "a") -> None:
        self.sql(f"update audio_tracks set {changes} where track_id = %s", *params, track)

    def delete(self, track: str = "a") -> None:
        self.sql("delete from audio_tracks where track_id = %s", track)

    def track(self, track: str = "a") -> Row:
        return self.sql("select * from audio_tracks where track_id = %s", track)[0]

    def claims(self, track: str = "a") -> Any:
        """What the row says of where its copies are."""
        return self.track(track)["storage_locations"]

    def job(self, track: str = "a", target: str = FIRST) -> Row | None:
        rows = self.sql(
            "select * from cdn_sync_jobs where track_id = %s and target = %s", track, target
        )
        return rows[0] if rows else None

    def wanted(self, track: str = "a") -> dict[str, str]:
        """What open work there is, by target."""
        rows = self.sql(
            "select target, operation from cdn_sync_jobs where track_id = %s"
            " and status in ('pending', 'processing') order by target",
            track,
        )
        return {row["target"]: row["operation"] for row in rows}

    def wake_ups(self) -> int:
        """How many jobs are in the queue."""
        return int(self.one("select count(*) from procrastinate.procrastinate_jobs"))

    def settle(self) -> None:
        """Let all work end as it is, with nothing done, and empty the queue."""
        self.sql("update cdn_sync_jobs set status = 'completed'")
        self.sql("truncate procrastinate.procrastinate_jobs cascade")

    def insert_older(self, claim: str, track: str = "a") -> None:
        """A row that was there before Media Worker was, with what it `claim`s."""
        self.sql("set session_replication_role = replica")
        self.insert(track)
        self.update(claim, track=track)
        self.sql("set session_replication_role = origin")

    def status(self, track: str = "a", target: str = FIRST) -> tuple[str, str | None]:
        """A job's status and message."""
        job = self.job(track, target)
        assert job
        return job["status"], job["error_message"]

    def upload(self, track: str = "a", *targets: str) -> None:
        """Do the upload of the track to the targets, as a worker does."""
        for target in targets or (FIRST, SECOND):
            run = Run.of(self, track, target)
            run.store()
            assert run.record() == "recorded"

    def remove(self, track: str = "a", *targets: str) -> None:
        """Do the deletion of the track's copies, as a worker does."""
        for target in targets or (FIRST, SECOND):
            run = Run.of(self, track, target)
            assert run.withdraw() == "withdrawn"
            run.drop()
            assert run.deleted() == "deleted"


@dataclass
class Run:
    """A claimed job."""

    tracks: AudioTracks
    track: str
    target: str
    job: UUID
    token: UUID
    worker: UUID

    @classmethod
    def of(cls, tracks: AudioTracks, track: str = "a", target: str = FIRST) -> Run:
        """Claim the track's job on the target for a worker that lives."""
        job = tracks.job(track, target)
        assert job, f"no job of {track} on {target}"
        run = cls(tracks, track, target, job["id"], uuid4(), uuid4())
        tracks.sql("select media_worker.beat(%s, 'host', 1, '1', array['cdn'], 1)", run.worker)
        claimed = tracks.sql(
            "select * from media_worker.claim('cdn', array[%s], %s, %s)",
            run.job, run.worker, run.token,
        )  # fmt: skip
        assert [row["held"] for row in claimed] == [False]
        return run

    def load(self) -> Any:
        return self.tracks.one("select media_worker.cdn_load(%s, %s)", self.job, self.token)

    def store(self, *roles: str) -> None:
        """Have the ledger know the objects of these roles (of both) as stored."""
        for role in roles or ROLES:
            self._reserve(role)
            assert self._ledger(
                "confirm_object", role, self.token, "source", 1, None, "etag", "mp3"
            )

    def drop(self) -> None:
        """Have the ledger know both objects as deleted."""
        for role in ROLES:
            self._reserve(role)
            assert self._ledger("forget_object", role, self.token)

    def record(self, *, version: str | None = None, **given: Any) -> str:
        """What recording an upload says; by default of what is there now."""
        values = {
            "version": version or (self.load() or {}).get("version"),
            "in_team_storage": True,
            "cdn_url": f"https://{self.target}.example.com/{self.key('audio')}",
            "sidecar_cdn_url": f"https://{self.target}.example.com/{self.key('sidecar')}",
            "sent": True,
            "stale": False,
        } | given
        return self._said("cdn_record", **values)

    def withdraw(self) -> str:
        return self._said("cdn_withdraw")

    def deleted(self, **given: Any) -> str:
        return self._said("cdn_deleted", **given)

    def stale(self) -> Any:
        return self._said("cdn_stale")

    def fail(self, message: str = "no audio") -> None:
        self.finish("failed", message)

    def finish(self, status: str = "completed", message: str | None = None) -> None:
        self.tracks.sql(
            "select media_worker.finish('cdn', %s, array[%s], %s, array[%s::text])",
            self.token, self.job, status, message,
        )  # fmt: skip

    def key(self, role: str) -> str:
        return f"audio/{self.track}.mp3" if role == "audio" else f"metadata/{self.track}.json"

    def _said(self, function: str, **given: Any) -> Any:
        named = "".join(f", {name} => %s" for name in given)
        return self.tracks.one(
            f"select media_worker.{function}(%s, %s{named})", self.job, self.token, *given.values()
        )

    def _reserve(self, role: str) -> None:
        owner = ("audio_tracks", self.track, role)
        said = self._ledger("reserve_object", role, *owner, "source", self.token, self.worker)
        assert said in ("new", "again")

    def _ledger(self, function: str, role: str, *given: Any) -> Any:
        marks = ", %s" * len(given)
        return self.tracks.one(
            f"select media_worker.{function}(%s, 'bucket', %s{marks})",
            f"cdn:{self.target}", self.key(role), *given,
        )  # fmt: skip


def _adapted(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: Jsonb(value) if isinstance(value, dict | list) else value
        for name, value in values.items()
    }
