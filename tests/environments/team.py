"""A team with a database of its own kind, and what every team does with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.buckets import S3ForTests
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.bodies import media
from worker.demo.provider import Provider

Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What is particular about a team's database.

    `owner`, `application` and `worker` are roles: who migrates, who writes the rows, who the
    worker logs in as; None is the superuser. `session` is what the application says first,
    `now` is the present as `created_at` has it. `users`: early requests come from users.
    """

    setup: str = ""
    owner: str | None = None
    application: str | None = None
    worker: str | None = None
    session: str = ""
    now: str = "now()"
    columns: Mapping[str, Any] = field(default_factory=dict)
    users: bool = False


@dataclass
class Team:
    """One team at work: its application's connection, its storage, its provider."""

    kind: Kind
    look: psycopg.Connection[Row]
    application: psycopg.Connection[Row]
    worker_url: str
    s3: S3ForTests
    provider: Provider
    processes: Processes
    bucket: str

    def start_worker(self) -> RunningProcess:
        return self.processes.worker(
            {
                "DATABASE_URL": self.worker_url,
                "STORAGE_ENDPOINT": self.s3.endpoint,
                "STORAGE_ACCESS_KEY_ID": self.s3.access_key_id,
                "STORAGE_SECRET_ACCESS_KEY": self.s3.secret_access_key,
                "STORAGE_AUDIO_BUCKET": self.bucket,
                "STORAGE_COVER_BUCKET": self.bucket,
                "STORAGE_VIDEO_BUCKET": self.bucket,
                "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
                "RETRY_DELAYS": "0.2,0.2,0.5",
            }
        )

    def insert(self, audio: str, *, age: str = "14 days") -> UUID:
        """Insert a completed track of that age."""
        track = {
            "id": uuid4(),
            "user_id": uuid4(),
            "title": "Song",
            "provider": "suno",
            "status": "completed",
            "audio_url": self.provider.url(audio),
            **self.kind.columns,
        }
        statement = sql.SQL(
            "insert into public.tracks ({names}, created_at) values ({values}, "
            + self.kind.now  # type: ignore[arg-type]
            + " - interval {age})"
        ).format(
            names=sql.SQL(", ").join(map(sql.Identifier, track)),
            values=sql.SQL(", ").join(sql.Placeholder() * len(track)),
            age=sql.Literal(age),
        )
        self.application.execute(statement, list(track.values()))
        return track["id"]

    def track(self, track: UUID) -> Row:
        return self._row("select * from public.tracks where id = %s", track) or {}

    def job(self, track: UUID) -> Row:
        query = "select * from public.track_archiving_jobs where track_id = %s"
        return self._row(query, track) or {}

    def wait_for_job(self, track: UUID, status: str) -> Row:
        wait_until(
            lambda: self.job(track).get("status") == status, timeout=20, message=f"job {status}"
        )
        return self.job(track)

    def key(self, track: UUID) -> str:
        return f"{self.track(track)['user_id']}/{track}.mp3"

    def request_early(self, track: UUID) -> None:
        """As the track's owner does it, or where there are no users, an operator."""
        user = self.track(track)["user_id"]
        connection = self.application if self.kind.users else self.look
        with connection.transaction():
            if self.kind.users:
                claims = json.dumps({"sub": str(user), "role": "authenticated"})
                connection.execute("set local role authenticated")
                connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            connection.execute(
                "insert into public.track_archiving_jobs (track_id, user_id) values (%s, %s)",
                [track, user],
            )

    def _row(self, query: str, *params: Any) -> Row | None:
        return self.look.execute(query.encode(), params).fetchone()


def basic_flow(team: Team) -> None:
    """What has to work everywhere: a due track, an early request, a retry, a deletion."""
    worker = team.start_worker()
    due, early = team.insert("/ok/melody.mp3"), team.insert("/ok/melody.mp3", age="1 hour")
    broken = team.insert("/late.mp3")
    _is_scheduled_in_utc(team, early)
    team.request_early(early)
    for track in (due, early):
        _is_archived(team, track)
    _is_retried(team, broken)
    _is_deleted(team, due)
    assert worker.terminate() == 0
    _log_is_clean(worker.log)


def _is_scheduled_in_utc(team: Team, track: UUID) -> None:
    row = team.track(track)
    assert row["archive_scheduled_at"].utcoffset() is not None
    zone = row["archive_scheduled_at"].tzinfo
    created = row["created_at"]
    if created.tzinfo is None:
        created = team.look.execute("select %s at time zone 'UTC' as moment", [created]).fetchone()[
            "moment"
        ]  # type: ignore[index]
    assert row["archive_scheduled_at"].astimezone(zone) - created == timedelta(days=13)


def _is_archived(team: Team, track: UUID) -> None:
    team.wait_for_job(track, "completed")
    row = team.track(track)
    assert row["archived_to_storage"] is True
    assert row["storage_audio_url"].endswith(f"/{team.bucket}/{team.key(track)}")
    assert team.s3.read(team.bucket, team.key(track)) == media("melody.mp3").content


def _is_retried(team: Team, track: UUID) -> None:
    team.wait_for_job(track, "failed")
    team.provider.serve("/late.mp3")
    team.look.execute(
        "update public.track_archiving_jobs set status = 'pending' where status = 'failed'"
    )
    _is_archived(team, track)


def _is_deleted(team: Team, track: UUID) -> None:
    key = team.key(track)
    team.application.execute("delete from public.tracks where id = %s", [track])
    wait_until(lambda: key not in team.s3.keys(team.bucket), message=f"deletion of {key}")


def _log_is_clean(log: str) -> None:
    events = [json.loads(line) for line in log.splitlines()]
    complaints = [each for each in events if each["level"] in ("warning", "error", "critical")]
    assert [each["event"] for each in complaints] == ["work failed"]  # that of the retry


Start = Callable[[str, Kind], Team]


def connect(url: str) -> psycopg.Connection[Row]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)
