"""`media-worker archive`: what it queues, what it waits for, what it does itself."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.archive.conftest import Archive
from tests.support.command import Ended, media_worker
from tests.support.process import COMMAND, REPOSITORY, Processes
from tests.support.wait import wait_until
from worker.app import compose
from worker.archive.command import archive_now
from worker.daemon import Daemon
from worker.demo.behaviour import Behaviour, Gate, refusal
from worker.errors import Misconfigured
from worker.queue import waiting
from worker.queue.waiting import Answer
from worker.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def settings(archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in archive.env.items():
        monkeypatch.setenv(name, value)


def ask(track: UUID | None = None, **options: Any) -> Answer:
    settings = load_settings()
    given = {"limit": 50, "force": False, "wait": False, "quiet": True} | options
    return archive_now(settings, track_id=track, hand=lambda: hand(settings), **given)


def hand(settings: Settings) -> Any:
    return Daemon(compose(settings, queues=["archive"])).on_call("archive")


def command(archive: Archive, path: Path, *arguments: str, **env: str) -> Ended:
    return media_worker("archive", *arguments, env={**archive.env, **env}, cwd=path)


def melody(archive: Archive) -> str:
    return archive.provider.url("/ok/melody.mp3")


def insert_undue(archive: Archive, audio: str, **values: Any) -> UUID:
    return archive.insert_track(audio, created_at="now", **values)


def test_track_is_queued_before_it_is_due(archive: Archive) -> None:
    track = insert_undue(archive, melody(archive))
    answer = ask(track)
    job = archive.job(track)
    assert job is not None
    assert answer.as_json() == {"success": True, "message": "queued", "jobs": [str(job["id"])]}
    assert job["status"] == "pending"
    assert not answer.failed


def test_only_what_is_not_queued_yet_is_queued(archive: Archive) -> None:
    archive.insert_track(melody(archive))  # due: queued by its insertion
    failed = archive.insert_track(melody(archive))
    archive.sql("update track_archiving_jobs set status = 'failed' where track_id = %s", failed)
    answer = ask()
    assert answer.text == "queued: 1 track"
    assert answer.as_json()["jobs"] == [str((archive.job(failed) or {})["id"])]


def test_limit_bounds_what_is_queued(archive: Archive) -> None:
    for _ in range(3):
        archive.insert_track(melody(archive))
    archive.sql("update track_archiving_jobs set status = 'failed'")
    assert len(ask(limit=2).as_json()["jobs"]) == 2
    assert archive.one("select count(*) from track_archiving_jobs where status = 'pending'") == 2


def test_waiting_without_a_worker_does_the_work_itself(archive: Archive, tmp_path: Path) -> None:
    track = archive.insert_track(melody(archive))
    ended = command(archive, tmp_path, "--wait", "--json")
    assert ended.json == {
        "success": True,
        "message": "Archived 1/1 tracks",
        "results": {"total": 1, "succeeded": 1, "failed": 0, "errors": []},
    }
    assert (ended.code, ended.err) == (0, "")
    assert archive.track(track)["archived_to_storage"] is True
    assert archive.one("select count(*) from worker_status where alive") == 0


def test_waiting_archives_no_more_than_was_asked_for(archive: Archive) -> None:
    tracks = [archive.insert_track(melody(archive)) for _ in range(3)]
    assert ask(limit=1, wait=True).message == "Archived 1/1 tracks"
    assert ask(tracks[-1], wait=True).message == "Archived 1/1 tracks"
    assert sum(archive.track(track)["archived_to_storage"] for track in tracks) <= 2


def test_failure_is_told_with_title_and_reason(archive: Archive, tmp_path: Path) -> None:
    archive.insert_track(melody(archive))
    gone = archive.insert_track(archive.provider.serve("/lost.mp3", refusal(404)), title="Lost")
    ended = command(archive, tmp_path, "--wait", "--json")
    results = ended.json["results"]
    assert (ended.code, ended.err) == (1, "")
    assert ended.json["success"] is True
    assert ended.json["message"] == "Archived 1/2 tracks"
    assert (results["succeeded"], results["failed"]) == (1, 1)
    (error,) = results["errors"]
    assert (error["trackId"], error["title"]) == (str(gone), "Lost")
    assert "404" in error["error"]


def test_waiting_sees_what_a_living_worker_does(archive: Archive) -> None:
    archive.start()
    archive.wait_for("select count(*) from worker_status where alive")
    track = insert_undue(archive, melody(archive))
    assert ask(track, wait=True).message == "Archived 1/1 tracks"
    assert archive.one("select count(*) from worker_status") == 1


def test_short_retry_is_waited_for(archive: Archive) -> None:
    url = archive.provider.serve("/flaky.mp3", refusal(503), Behaviour())
    track = archive.insert_track(url)
    assert ask(track, wait=True).message == "Archived 1/1 tracks"
    assert len(archive.provider.requests("/flaky.mp3")) == 2


def test_retry_that_is_far_away_is_not_waited_for(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRY_DELAYS", "3600")
    track = archive.insert_track(archive.provider.serve("/busy.mp3", refusal(503)))
    answer = ask(track, wait=True)
    assert answer.failed
    assert "503" in answer.as_json()["results"]["errors"][0]["error"]
    assert (archive.job(track) or {})["status"] == "pending"


def test_paused_queue_is_not_waited_for(archive: Archive) -> None:
    track = archive.insert_track(melody(archive))
    archive.sql("select pause_queue('archive')")
    (error,) = ask(track, wait=True).as_json()["results"]["errors"]
    assert "resume_queue('archive')" in error["error"]


def test_archived_track_is_left_alone_unless_forced(archive: Archive) -> None:
    track = archive.insert_track(melody(archive))
    assert ask(track, wait=True).message == "Archived 1/1 tracks"
    downloads = len(archive.provider.requests())
    assert ask(track).as_json() == {
        "success": True,
        "message": "the track is archived already",
        "jobs": [],
    }
    assert ask(track, wait=True).message == "Archived 1/1 tracks"
    assert len(archive.provider.requests()) == downloads
    assert ask(track, force=True, wait=True).message == "Archived 1/1 tracks"
    assert len(archive.provider.requests()) == downloads + 1


def test_unknown_track_is_an_error(archive: Archive) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="unknown track"):
        ask(uuid4())


def test_nobody_to_do_the_work_is_said_before_anything_is_queued(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = insert_undue(archive, melody(archive))
    for name in ("STORAGE_ENDPOINT", "STORAGE_ACCESS_KEY_ID", "STORAGE_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(Misconfigured, match="set STORAGE_ENDPOINT, STORAGE_ACCESS_KEY_ID"):
        ask(track, wait=True)
    assert archive.job(track) is None


def test_interrupted_wait_leaves_the_work_to_others(archive: Archive, processes: Processes) -> None:
    stalled = Gate(1000)
    url = archive.provider.serve("/slow.mp3", Behaviour(gate=stalled))
    track = archive.insert_track(url)
    waiting = processes.media_worker("archive", "--wait", env=archive.env | {"SHUTDOWN_GRACE": "0"})
    wait_until(stalled.reached.is_set, message="the download")
    assert waiting.interrupt() == 130
    assert waiting.log.strip() == "media-worker: interrupted"
    job = archive.job(track) or {}
    assert (job["status"], job["claim"], job["attempts"]) == ("pending", None, 0)


def test_storage_that_is_out_of_order_is_not_waited_for(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setenv("STORAGE_ENDPOINT", "http://127.0.0.1:1")
    track = archive.insert_track(melody(archive))
    (error,) = ask(track, wait=True).as_json()["results"]["errors"]
    assert "127.0.0.1:1" in error["error"]
    assert (archive.job(track) or {})["attempts"] == 0


def test_work_is_taken_over_when_the_worker_dies_meanwhile(archive: Archive) -> None:
    dying = archive.one(
        "insert into media_worker.workers (worker_id, host, pid, version, queues)"
        " values (gen_random_uuid(), 'elsewhere', 1, '0', '{archive}') returning worker_id"
    )
    track = insert_undue(archive, melody(archive))

    def die() -> None:
        archive.wait_for("select count(*) from track_archiving_jobs")
        archive.sql(
            "update media_worker.workers set stopped_at = now() where worker_id = %s", dying
        )

    with ThreadPoolExecutor(1) as executor:
        death = executor.submit(die)
        assert ask(track, wait=True).message == "Archived 1/1 tracks"
        death.result()


def test_progress_is_shown_on_a_terminal(archive: Archive, tmp_path: Path) -> None:
    archive.insert_track(melody(archive))
    terminal, stderr = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "archive", "--wait"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=tmp_path,
        env={**os.environ, **archive.env, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        os.close(stderr)
        shown = read_to_the_end(terminal)
        assert process.communicate(timeout=20)[0] == b"Archived 1/1 tracks\n"
    assert process.returncode == 0
    assert b"1/1" in shown


def read_to_the_end(terminal: int) -> bytes:
    blocks = []
    with open(terminal, "rb", buffering=0) as stream, suppress(OSError):
        while block := stream.read(4096):
            blocks.append(block)
    return b"".join(blocks)
