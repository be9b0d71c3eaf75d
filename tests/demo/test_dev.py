from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.demo.traces import Traces
from tests.support.process import COMMAND, Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.readable import readable


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "tmp")


@pytest.fixture
def reachable() -> Iterator[Path]:
    # Not below pytest's own directory, which every other run of pytest closes for others.
    with tempfile.TemporaryDirectory(prefix="media-worker-dev-") as directory:
        yield Path(directory)


@pytest.fixture
def processes(reachable: Path) -> Iterator[Processes]:
    with Processes(reachable) as started:
        yield started


def test_an_inserted_track_is_archived_the_account_mirrored_and_ctrl_c_stops_everything(
    processes: Processes, traces: Traces
) -> None:
    dev = processes.media_worker("dev", env=traces.env | {"RETRY_DELAYS": "1"})
    dev.wait_for_log("worker started")
    with psycopg.connect(database_of(dev), autocommit=True) as connection:
        connection.execute(example(dev).encode())
        query = "select p.audio_url from track_playback as p where p.source = 'storage'"
        url = wait_until(lambda: connection.execute(query.encode()).fetchone())
        connection.execute("select request_media_sync()")
        mirrored = "select count(*) = 3 from media_assets where sync_status = 'synced'"
        wait_until(lambda: connection.execute(mirrored.encode()).fetchone() == (True,))
    assert url is not None and url[0].startswith("http://127.0.0.1:")
    dev.wait_for_log("work recorded  kind=archive")
    assert dev.interrupt() == 0
    assert "Stopped." in dev.log and "Traceback" not in dev.log and "\x1b" not in dev.log
    assert traces.processes() == []
    assert list(traces.tmp.iterdir()) == []


def test_each_start_begins_with_a_fresh_database(
    processes: Processes, traces: Traces, reachable: Path
) -> None:
    for _ in range(2):
        dev = dev_in(reachable, processes, traces)
        dev.wait_for_log("worker started")
        with psycopg.connect(database_of(dev), autocommit=True) as connection:
            assert connection.execute("select count(*) from tracks").fetchone() == (0,)
            connection.execute("insert into tracks (title, status) values ('old', 'draft')")
        assert dev.terminate() == 0


def test_a_second_dev_in_the_same_directory_is_refused_and_the_first_goes_on(
    processes: Processes, traces: Traces, reachable: Path
) -> None:
    first = dev_in(reachable, processes, traces)
    first.wait_for_log("worker started")
    second = dev_in(reachable, processes, traces)
    assert second.wait() == 2
    assert "another media-worker dev runs" in second.log
    with psycopg.connect(database_of(first)) as connection:
        assert connection.execute("select count(*) from tracks").fetchone() == (0,)


def test_with_a_database_of_ones_own_it_works_on_that(
    processes: Processes, traces: Traces, empty_database: str
) -> None:
    dev = processes.media_worker("dev", env=traces.env | {"DATABASE_URL": empty_database})
    dev.wait_for_log("worker started")
    assert "works on that database" in dev.log
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(example(dev).encode())
        query = "select from tracks where archived_to_storage"
        wait_until(lambda: connection.execute(query.encode()).fetchone() is not None)
    assert dev.interrupt() == 0
    assert traces.processes() == []


def test_tracks_of_a_database_of_ones_own_are_not_archived_into_memory(
    processes: Processes, traces: Traces, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("insert into tracks (title, status) values ('real', 'draft')")
    dev = processes.media_worker("dev", env=traces.env | {"DATABASE_URL": database})
    assert dev.wait() == 2
    assert "set the STORAGE_ variables" in dev.log


def test_log_lines_are_readable() -> None:
    line = (
        '{"event": "work failed", "level": "error", "timestamp": "x", "attempts": 1, "delay": 1.04}'
    )
    assert readable(line).plain.split() == ["error", "work", "failed", "attempts=1", "delay=1.0"]
    assert readable("a plain line").plain == "a plain line"
    assert readable("[1]").plain == "[1]"


def dev_in(directory: Path, processes: Processes, traces: Traces) -> RunningProcess:
    there = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(directory)]
    return processes.start([*there, *COMMAND, "dev"], env=traces.env)


def database_of(dev: RunningProcess) -> str:
    found = re.search(r"psql '([^']+)'", dev.log)
    assert found, dev.log
    return found[1]


def example(dev: RunningProcess) -> str:
    """The insert statements that it tells people to paste."""
    start = dev.log.index("insert into tracks")
    return dev.log[start : dev.log.index("select t.title")]
