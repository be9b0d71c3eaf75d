"""The command as people and scripts use it: help, exit statuses, and one clear line of what is
wrong.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest

from tests.archive.conftest import Archive, archive
from tests.support.command import Ended, media_worker
from tests.support.pgbouncer import pgbouncer, pgbouncer_is_there

__all__ = ["archive"]

COMMANDS = ("migrate", "run", "status", "retry", "doctor", "archive", "cdn", "dev", "demo")
NOWHERE = {"DATABASE_URL": "postgresql://someone:hush-hush@127.0.0.1:1/nothing"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str, env: dict[str, str] | None = None) -> Ended:
        return media_worker(*arguments, env={"COLUMNS": "100", **(env or {})}, cwd=tmp_path)

    return run


class Run:
    """Runs `media-worker` with these arguments and settings."""

    def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> Ended: ...


def assert_one_line(ended: Ended, *, code: int, text: str) -> None:
    assert ended.code == code, ended
    assert ended.out == ""
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("media-worker: ")
    assert text in line
    assert "hush" not in line


def test_version_is_that_of_the_distribution(run: Run) -> None:
    ended = run("--version")
    assert (ended.code, ended.out) == (0, f"media-worker {version('media-worker')}\n")


def test_help_lists_every_command(run: Run) -> None:
    ended = run("--help")
    assert ended.code == 0
    for name in COMMANDS:
        assert f" {name} " in ended.out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("migrate", ["--check", "--sql"]),
        ("run", ["--queues", "--concurrency", "--once"]),
        ("status", ["--json"]),
        ("retry", ["archive", "cleanup", "--json"]),
        ("doctor", ["--fix", "--json"]),
        ("archive", ["TRACK_ID", "--limit", "--force", "--wait", "--json"]),
        ("cdn", ["upload", "delete", "backfill"]),
        ("cdn upload", ["TRACK_ID", "--wait", "--json"]),
        ("cdn delete", ["TRACK_ID", "--wait", "--json"]),
        ("cdn backfill", ["--limit", "--json"]),
    ],
)
def test_help_of_a_command_tells_its_options(run: Run, command: str, told: list[str]) -> None:
    ended = run(*command.split(), "--help")
    assert ended.code == 0
    for name in told:
        assert name in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("polish",),
        ("migrate", "--downgrade"),
        ("retry",),
        ("retry", "uploads"),
        ("archive", "not-a-uuid"),
        ("archive", "--limit", "-1"),
        ("archive", "--limit", "many"),
        ("archive", "--force"),
        ("cdn", "polish"),
        ("cdn", "upload"),
        ("cdn", "backfill", "--limit", "-1"),
        ("run", "--concurrency", "0"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments, env=NOWHERE)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: media-worker" in ended.err
    assert "Traceback" not in ended.err


def test_unknown_queue_of_run_ends_with_2(run: Run) -> None:
    assert_one_line(run("run", "--queues", "uploads", env=NOWHERE), code=2, text="uploads")


@pytest.mark.parametrize(
    "arguments",
    [("migrate",), ("run",), ("status",), ("retry", "archive"), ("archive",), ("cdn", "backfill")],
    ids=lambda arguments: arguments[0],
)
class TestSettings:
    def test_missing_database_url_is_named(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert_one_line(run(*arguments), code=2, text="DATABASE_URL is not set")

    def test_unreadable_database_url_is_named_and_not_quoted(
        self, run: Run, arguments: tuple[str, ...]
    ) -> None:
        env = {"DATABASE_URL": "postgresql://someone:hush@hush@/x?y"}
        assert_one_line(run(*arguments, env=env), code=2, text="DATABASE_URL")

    def test_wrong_setting_is_named(self, run: Run, arguments: tuple[str, ...]) -> None:
        env = NOWHERE | {"ARCHIVE_DAILY_AT": "noon"}
        assert_one_line(run(*arguments, env=env), code=2, text="ARCHIVE_DAILY_AT")


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate",),
        ("status",),
        ("retry", "archive"),
        ("archive",),
        ("archive", "--json"),
        ("cdn", "upload", "a"),
        ("cdn", "backfill"),
    ],
    ids=" ".join,
)
def test_absent_database_ends_with_1(run: Run, arguments: tuple[str, ...]) -> None:
    assert_one_line(run(*arguments, env=NOWHERE), code=1, text="127.0.0.1")


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("retry", "archive"), ("archive",), ("cdn", "upload", "a")],
    ids=" ".join,
)
def test_missing_schema_names_migrate(
    run: Run, arguments: tuple[str, ...], empty_database: str
) -> None:
    ended = run(*arguments, env={"DATABASE_URL": empty_database})
    assert_one_line(ended, code=1, text="run media-worker migrate")


def test_worker_refuses_a_database_without_schema(run: Run, empty_database: str) -> None:
    ended = run("run", "--once", env={"DATABASE_URL": empty_database})
    assert ended.code == 2
    assert "run media-worker migrate" in ended.err
    assert "Traceback" not in ended.err


def test_unknown_track_ends_with_1(run: Run, archive: Archive) -> None:
    track = str(uuid4())
    assert_one_line(run("archive", track, env=archive.env), code=1, text=f"unknown track {track}")


def test_track_that_cannot_be_archived_says_why(run: Run, archive: Archive) -> None:
    track = archive.insert_track("http://127.0.0.1:1/a.mp3", status="generating")
    ended = run("archive", str(track), env=archive.env)
    assert_one_line(ended, code=1, text="not completed")


def test_queued_work_is_told_to_people_and_programs(run: Run, archive: Archive) -> None:
    track = archive.insert_track("http://127.0.0.1:1/a.mp3", created_at="now")
    ended = run("archive", str(track), env=archive.env)
    assert (ended.code, ended.out, ended.err) == (0, "queued: 1 track\n", "")
    ended = run("archive", str(track), "--json", env=archive.env)
    job = str((archive.job(track) or {})["id"])
    assert ended.json == {"success": True, "message": "queued", "jobs": [job]}


def test_status_is_printed_for_people_and_programs(run: Run, database: str) -> None:
    env = {"DATABASE_URL": database}
    ended = run("status", "--json", env=env)
    assert (ended.code, ended.err) == (0, "")
    assert {"queues", "workers", "archive", "cdn", "cleanup", "held", "paused"} <= set(ended.json)
    assert "no worker is alive" in run("status", env=env).out


def test_retry_tells_how_much(run: Run, archive: Archive) -> None:
    archive.insert_track("http://127.0.0.1:1/a.mp3")
    archive.sql("update track_archiving_jobs set status = 'failed'")
    assert run("retry", "archive", "--json", env=archive.env).json == {"queued": 1}
    assert run("retry", "archive", env=archive.env).out == "queued again: 0\n"


def test_migrate_is_checked_done_and_done_again(run: Run, empty_database: str) -> None:
    env = {"DATABASE_URL": empty_database}
    checked = run("migrate", "--check", env=env)
    assert checked.code == 1
    assert "would apply: migration 0001_queue.sql" in checked.out
    script = run("migrate", "--sql", env=env)
    assert script.code == 0
    assert "create table" in script.out
    done = run("migrate", env=env)
    assert done.code == 0
    assert done.out.splitlines()[-1] == "the schema is up to date"
    again = run("migrate", env=env)
    assert (again.code, again.out) == (0, "the schema is up to date\n")
    assert run("migrate", "--check", env=env).code == 0


@pytest.mark.skipif(not pgbouncer_is_there(), reason="PgBouncer is not installed")
def test_migrate_behind_a_pooler_asks_for_a_direct_connection(
    run: Run, empty_database: str, tmp_path: Path
) -> None:
    with pgbouncer(empty_database, tmp_path) as pooled:
        ended = run("migrate", env={"DATABASE_URL": pooled})
    assert ended.code == 1
    assert "direct connection" in ended.err
    assert "Traceback" not in ended.err
