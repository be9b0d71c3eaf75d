"""The life of the embedded PostgreSQL: start, stop, restart, and an end with its owner."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self
from urllib.parse import quote

from worker.demo.embedded.cluster import (
    PartDidNotStart,
    Places,
    account,
    choose_places,
    clean_environment,
    create_cluster,
    last_words,
    open_the_way,
    postgres_programs,
)
from worker.demo.leash import leashed, release

PORT = 5432  # only a part of the socket's name: nothing listens on TCP
START_TIMEOUT = 30.0  # seconds
STOP_TIMEOUT = 20.0  # seconds

FOR_TESTS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "shared_buffers": "64MB",
}


class EmbeddedPostgres:
    """PostgreSQL on a Unix socket that only this user can reach.

    `directory` is its data directory and outlives it; without one the data are temporary and
    go with `stop`. For root the server runs as the account `nobody`; the directories above its
    own are then made passable, not readable, for others. `for_tests` trades durability for
    speed, and keeps temporary data in memory where there is plenty.

    Raises `Misconfigured` where the package that brings PostgreSQL is missing.
    """

    def __init__(self, directory: Path | None = None, *, for_tests: bool = False) -> None:
        self._programs = postgres_programs()
        self._kept = directory.expanduser().resolve() if directory else None
        self._for_tests = for_tests
        self._durable = directory is not None and not for_tests
        self._places: Places | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def socket_directory(self) -> Path:
        """Where the socket is; the same over a restart, known once started."""
        if self._places is None:
            raise RuntimeError("start PostgreSQL first")
        return self._places.socket

    @property
    def url(self) -> str:
        """A superuser's URL of the database `postgres`."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """A superuser's URL of the database `name`."""
        host = quote(str(self.socket_directory), safe="/")
        return f"postgresql://postgres@/{quote(name)}?host={host}&port={PORT}"

    @property
    def psql_command(self) -> str:
        """What to type into a shell to look into the database."""
        return f"{self._programs / 'psql'} '{self.url}'"

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> Self:
        """Start, and wait until connections are accepted.

        Raises `PartDidNotStart`, also where another process runs on the same directory.
        """
        if self._process is None:
            try:
                self._start()
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """Disconnect everybody, stop, and remove what was temporary; may be called twice."""
        self.halt()
        if self._places and self._places.scratch:
            shutil.rmtree(self._places.scratch, ignore_errors=True)
        self._places = None

    def halt(self, *, crash: bool = False) -> None:
        """Stop and keep the data for another `start`; `crash` leaves the tidying to recovery."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_TIMEOUT)
        release(process)

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start again on the same data and the same URL."""
        self.halt(crash=crash)
        self.start()

    def _start(self) -> None:
        try:
            places = self._places or choose_places(self._kept, in_memory=self._for_tests)
            self._places = places
            open_the_way(self._programs / "postgres", places.data, places.socket)
            create_cluster(places.data, programs=self._programs, durable=self._durable)
            self._launch(places)
        except OSError as error:
            raise PartDidNotStart(f"PostgreSQL did not start: {error}") from error

    def _launch(self, places: Places) -> None:
        with (places.data / "server.log").open("ab") as log:
            seen = log.tell()
            self._process = subprocess.Popen(
                leashed(self._command(places), scratch=places.scratch),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=places.data,
                env=clean_environment(),
                start_new_session=True,  # Ctrl-C is for the owner, who stops us when it is done
                **account(),
            )
        _wait_until_ready(places.data, self._process, log_from=seen)

    def _command(self, places: Places) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(places.socket),
            "port": str(PORT),
            **(FOR_TESTS if self._for_tests else {}),
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._programs / "postgres"), "-D", str(places.data), *options]


def _wait_until_ready(data: Path, process: subprocess.Popen[bytes], *, log_from: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _is_ready(data, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            with (data / "server.log").open("rb") as log:
                log.seek(log_from)
                raise PartDidNotStart(f"PostgreSQL did not start: {last_words(log.read())}")
        time.sleep(0.01)


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return False
    return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"
