"""A pooler in front of PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.support.databases import changed_url
from tests.support.wait import wait_until

CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = {mode}
{more}
"""


@contextmanager
def pgbouncer(
    url: str, directory: Path, *, mode: str = "transaction", more: str = ""
) -> Iterator[str]:
    """The URL of the same database through PgBouncer; `more` are lines of its configuration."""
    target = conninfo_to_dict(url)
    listen = _free_port()
    users = directory / "users.txt"
    users.write_text(f'"{target["user"]}" ""\n')
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=target["host"],
            port=target.get("port", 5432),
            listen=listen,
            users=users,
            mode=mode,
            more=more,
        )
    )
    with _running(configuration, listen):
        yield changed_url(url, host="127.0.0.1", port=listen)


def pgbouncer_is_there() -> bool:
    return _program() is not None


@contextmanager
def _running(configuration: Path, port: int) -> Iterator[None]:
    # It refuses to run as root, and then reads its files as whom it became.
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    if account:
        for path in (configuration.parent, *configuration.parents[1:3]):
            path.chmod(0o755)
    process = subprocess.Popen(
        [str(_program()), *account, str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _accepts(port), message="PgBouncer")
        yield
    finally:
        process.terminate()
        process.wait(10)


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
