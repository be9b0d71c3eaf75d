"""`media-worker cdn`: what it queues, what it waits for, what it does itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.buckets import S3ForTests
from tests.support.command import Ended, media_worker
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.app import compose
from worker.cdn import command as cdn_command
from worker.cdn.command import backfill_now, sync_now
from worker.daemon import Daemon
from worker.demo.behaviour import document, page, refusal
from worker.demo.provider import Provider
from worker.errors import Misconfigured
from worker.queue import waiting
from worker.queue.waiting import Answer
from worker.settings import Settings, load_settings

PUBLIC = "https://cdn.example.org"
SYNCED = "Files synced to CDN successfully"
DELETED = "Files deleted from CDN successfully"
# A target that refuses connections.
BROKEN = {
    "CDN_TARGETS": "r2_cdn,broken",
    "CDN_BROKEN_ENDPOINT": "http://127.0.0.1:1",
    "CDN_BROKEN_ACCESS_KEY_ID": "id",
    "CDN_BROKEN_SECRET_ACCESS_KEY": "hush-hush",
    "CDN_BROKEN_BUCKET": "copies",
}


@dataclass
class Desk:
    """A database and one CDN target, with the settings for them in this process too."""

    env: dict[str, str]
    connection: psycopg.Connection[dict[str, Any]]
    s3: S3ForTests
    bucket: str
    provider: Provider
    path: Path

    def sql(self, query: str, *params: Any) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, params)
        return cursor.fetchall() if cursor.description else []

    def insert(self, track: str = "a", *, file_path: str | None = "") -> str:
        """A track whose audio is the provider's melody, unless told otherwise."""
        path = self.provider.url("/ok/melody.mp3") if file_path == "" else file_path
        self.sql("insert into audio_tracks (track_id, file_path) values (%s, %s)", track, path)
        return track

    def insert_older(self, *tracks: str) -> None:
        """Tracks from before Media Worker: nobody has heard of them."""
        self.sql("alter table audio_tracks disable trigger user")
        for track in tracks:
            self.insert(track)
        self.sql("alter table audio_tracks enable trigger user")

    def track(self, track: str) -> dict[str, Any]:
        return self.sql("select * from audio_tracks where track_id = %s", track)[0]

    def jobs(self) -> list[dict[str, Any]]:
        return self.sql("select * from cdn_sync_jobs order by track_id, target")

    def command(self, *arguments: str) -> Ended:
        return media_worker("cdn", *arguments, env=self.env, cwd=self.path)


@pytest.fixture
def desk(
    database: str,
    s3: S3ForTests,
    provider: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    bucket = s3.fresh_bucket("cdn")
    env = {
        "DATABASE_URL": database,
        "R2_ENDPOINT": s3.endpoint,
        "R2_ACCESS_KEY_ID": s3.access_key_id,
        "R2_SECRET_ACCESS_KEY": s3.secret_access_key,
        "R2_BUCKET_NAME": bucket,
        "R2_PUBLIC_URL": PUBLIC,
        "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
        "RETRY_DELAYS": "0.2,0.2,0.5",
    }
    monkeypatch.chdir(tmp_path)
    set_all(monkeypatch, env)
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        yield Desk(env, connection, s3, bucket, provider, tmp_path)


@pytest.fixture
def cloudflare(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of a cache that can be purged; the path of its API."""
    path = "/zones/0123abc/purge_cache"
    desk.provider.serve(path, document({"success": True}))
    set_all(
        monkeypatch,
        {
            "CLOUDFLARE_ZONE_ID": "0123abc",
            "CLOUDFLARE_API_TOKEN": "hush-hush",
            "CLOUDFLARE_API_BASE": desk.provider.url(""),
        },
    )
    return path


@pytest.fixture
def start(desk: Desk, processes: Processes) -> Callable[[], RunningProcess]:
    """Starts a worker, and returns once it is alive and has named its targets."""

    def start() -> RunningProcess:
        process = processes.worker(desk.env)
        wait_until(lambda: desk.sql("select 1 from media_worker.cdn_targets"), timeout=20)
        return process

    return start


def set_all(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)


def hand(settings: Settings) -> Any:
    return Daemon(compose(settings, queues=["cdn"])).on_call("cdn")


def sync(operation: Any, track: str = "a", *, wait: bool = False) -> Answer:
    settings = load_settings()
    return sync_now(
        settings,
        track_id=track,
        operation=operation,
        wait=wait,
        quiet=True,
        hand=lambda: hand(settings),
    )


def backfill(limit: int | None = None) -> Answer:
    settings = load_settings()
    return backfill_now(settings, limit=limit, quiet=True, hand=lambda: hand(settings))


def test_upload_is_queued_for_every_target(desk: Desk) -> None:
    ended = desk.command("upload", desk.insert(), "--json")
    (job,) = desk.jobs()
    assert ended.json == {"success": True, "message": "queued", "jobs": [str(job["id"])]}
    assert (ended.code, ended.err) == (0, "")
    assert (job["target"], job["operation"], job["status"]) == ("r2_cdn", "upload", "pending")


def test_upload_without_a_worker_does_the_work_itself(desk: Desk) -> None:
    ended = desk.command("upload", desk.insert(), "--wait", "--json")
    answer = ended.json
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("timestamp"))
    assert answer == {
        "success": True,
        "message": SYNCED,
        "cdn_url": f"{PUBLIC}/audio/a.mp3",
        "sidecar_cdn_url": f"{PUBLIC}/metadata/a.json",
    }
    assert desk.s3.keys(desk.bucket) == ["audio/a.mp3", "metadata/a.json"]
    assert desk.track("a")["cdn_url"] == answer["cdn_url"]
    assert desk.sql("select 1 from worker_status where alive") == []


def test_upload_switches_the_track_on_again(desk: Desk) -> None:
    desk.insert()
    assert sync("delete").message == "queued"
    assert desk.track("a")["cdn_enabled"] is False
    assert sync("upload", wait=True).message == SYNCED
    assert desk.track("a")["cdn_enabled"] is True


def test_delete_takes_the_files_off(desk: Desk) -> None:
    sync("upload", desk.insert(), wait=True)
    ended = desk.command("delete", "a", "--wait", "--json")
    assert ended.code == 0
    assert ended.json | {"timestamp": ""} == {
        "success": True,
        "message": DELETED,
        "cdn_url": None,
        "sidecar_cdn_url": None,
        "timestamp": "",
    }
    assert desk.s3.keys(desk.bucket) == []
    assert desk.track("a")["cdn_url"] is None


def test_delete_takes_the_files_of_a_track_off_that_is_gone(desk: Desk) -> None:
    sync("upload", desk.insert(), wait=True)
    desk.sql("delete from audio_tracks")
    assert sync("delete", wait=True).message == DELETED
    assert desk.s3.keys(desk.bucket) == []


def test_waiting_sees_what_a_living_worker_does(
    desk: Desk, start: Callable[[], RunningProcess]
) -> None:
    start()
    assert sync("upload", desk.insert(), wait=True).message == SYNCED
    assert len(desk.sql("select 1 from worker_status")) == 1


def test_people_are_told_the_url(desk: Desk) -> None:
    assert sync("upload", desk.insert(), wait=True).text.splitlines() == [
        SYNCED,
        f"- r2_cdn: {PUBLIC}/audio/a.mp3",
    ]


def test_failure_is_told_with_its_reason(desk: Desk) -> None:
    desk.insert(file_path=desk.provider.serve("/page.mp3", page()))
    ended = desk.command("upload", "a", "--wait", "--json")
    answer = json.loads(ended.out)
    assert (ended.code, ended.err) == (1, "")
    assert answer["success"] is False
    assert answer["message"] == "Files synced to 0 of 1 CDN targets"
    assert answer["error"].startswith("r2_cdn: ")
    assert "HTML" in answer["error"]
    assert answer["cdn_url"] is None


def test_target_that_does_not_work_holds_up_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.3)
    set_all(monkeypatch, BROKEN)
    answer = sync("upload", desk.insert(), wait=True)
    assert answer.failed
    assert answer.message == "Files synced to 1 of 2 CDN targets"
    assert answer.as_json()["error"].startswith("broken: ")
    assert answer.as_json()["cdn_url"] == f"{PUBLIC}/audio/a.mp3"


def test_former_target_does_not_matter_to_an_upload(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, BROKEN)
    sync("upload", desk.insert())
    monkeypatch.setenv("CDN_TARGETS", "r2_cdn")
    assert sync("upload", wait=True).message == SYNCED


def test_cache_forgets_what_is_deleted(desk: Desk, cloudflare: str) -> None:
    sync("upload", desk.insert(), wait=True)
    assert desk.provider.requests(cloudflare) == []
    assert sync("delete", wait=True).message == DELETED
    (request,) = desk.provider.requests(cloudflare)
    purged = json.loads(request.body)["files"]
    assert sorted(purged) == [f"{PUBLIC}/audio/a.mp3", f"{PUBLIC}/metadata/a.json"]


def test_cache_that_cannot_be_purged_is_told(desk: Desk, cloudflare: str) -> None:
    sync("upload", desk.insert(), wait=True)
    desk.provider.serve(cloudflare, refusal(403))
    answer = sync("delete", wait=True)
    assert answer.failed
    assert "CLOUDFLARE_API_TOKEN" in answer.as_json()["error"]
    assert desk.s3.keys(desk.bucket) == []
    (job,) = desk.jobs()
    assert (job["status"], job["attempts"]) == ("pending", 0)


def test_track_without_a_file_has_nothing_to_upload(desk: Desk) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="no file_path"):
        sync("upload", desk.insert(file_path=None), wait=True)
    assert sync("delete", wait=True).message == DELETED


def test_paused_queue_is_not_waited_for(desk: Desk) -> None:
    desk.sql("select pause_queue('cdn')")
    answer = sync("upload", desk.insert(), wait=True)
    assert "resume_queue('cdn')" in answer.as_json()["error"]


@pytest.mark.parametrize("operation", ["upload", "delete"])
def test_unknown_track_is_an_error_of_one_line(desk: Desk, operation: str) -> None:
    ended = desk.command(operation, "nowhere", "--wait", "--json")
    (line,) = ended.err.splitlines()
    assert (ended.code, ended.out) == (1, "")
    assert "nowhere" in line


def without_target(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    for name in desk.env:
        if name.startswith("R2_"):
            monkeypatch.delenv(name)


def test_nobody_to_do_the_work_is_said_before_anything_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_target(monkeypatch, desk)
    desk.insert()
    desk.sql("update audio_tracks set cdn_enabled = false")
    with pytest.raises(Misconfigured, match="R2_ACCESS_KEY_ID"):
        sync("upload", wait=True)
    assert desk.track("a")["cdn_enabled"] is False


def test_upload_that_no_target_is_known_for_is_done_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        without_target(elsewhere, desk)
        answer = sync("upload", desk.insert())
    assert answer.as_json()["jobs"] == []
    assert "no CDN target is known yet" in answer.text
    assert sync("upload", wait=True).message == SYNCED


def test_backfill_without_any_target_names_what_is_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_target(monkeypatch, desk)
    with pytest.raises(Misconfigured, match="R2_ACCESS_KEY_ID"):
        backfill()


def test_targets_that_the_workers_have_named_are_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, start: Callable[[], RunningProcess]
) -> None:
    start()
    set_all(monkeypatch, BROKEN)
    sync("upload", desk.insert())
    assert [job["target"] for job in desk.jobs()] == ["r2_cdn"]


def test_backfill_queues_older_tracks_once(desk: Desk) -> None:
    desk.insert_older("a", "b", "c")
    ended = desk.command("backfill", "--json")
    assert ended.json == {"success": True, "message": "queued", "queued": 3}
    assert [job["track_id"] for job in desk.jobs()] == ["a", "b", "c"]
    assert backfill().as_json()["queued"] == 0


def test_backfill_goes_on_in_batches_until_nothing_is_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdn_command, "BATCH", 2)
    desk.insert_older(*"abcde")
    assert backfill().as_json()["queued"] == 5


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_limit_bounds_the_backfill(desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(cdn_command, "BATCH", 2)
    desk.insert_older(*"abcde")
    assert backfill(limit).as_json()["queued"] == limit
    assert len(desk.jobs()) == limit


def test_backfill_that_nobody_works_off_says_so(desk: Desk) -> None:
    desk.insert_older("a")
    assert backfill().text == "queued: 1 track; no worker is alive: start one with media-worker run"
    assert backfill().text == "queued: 0 tracks"
