"""A Cloudinary account of so many small assets, each call of which takes so many seconds.

Run as `python -m bench._cloudinary ASSETS SECONDS`; prints its port, and for each line of standard
input how many calls it has answered. Serves until standard input ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from tests.support.wait import wait_until
from worker.demo.cloudinary import LocalCloudinary

COMMAND = [sys.executable, "-c", "from worker.cli import main; main()", "run"]
CLOUD_NAME, API_KEY, API_SECRET = "bench-cloud", "bench-key", "bench-secret"


def main() -> None:
    assets, seconds = int(sys.argv[1]), float(sys.argv[2])
    with LocalCloudinary(cloud_name=CLOUD_NAME, api_key=API_KEY, api_secret=API_SECRET) as local:
        for number in range(assets):
            local.account.add(name(number), tags=["bench"], context={"alt": f"Asset {number}"})
        local.faults.slow("*", seconds, times=sys.maxsize)
        print(local.url.rpartition(":")[2], flush=True)
        for _ in sys.stdin:
            print(len(local.calls), flush=True)


def name(number: int) -> str:
    """What the asset of that number is called."""
    return f"bench/asset-{number:06}"


@dataclass(frozen=True)
class Account:
    """An account that is served by a process of its own."""

    url: str
    process: subprocess.Popen[str]

    @property
    def env(self) -> dict[str, str]:
        """For a worker."""
        return {
            "CLOUDINARY_URL": f"cloudinary://{API_KEY}:{API_SECRET}@{CLOUD_NAME}",
            "CLOUDINARY_API_BASE": self.url,
        }

    @property
    def calls(self) -> int:
        """Answered so far."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def account(assets: int, *, latency: float) -> Iterator[Account]:
    """An account with so many assets; `latency` is in seconds a call."""
    command = [sys.executable, "-m", "bench._cloudinary", str(assets), str(latency)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield Account(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
        process.stdin.close()


@contextmanager
def worker(env: Mapping[str, str]) -> Iterator[int]:
    """The id of a worker's process, once it has started."""
    with (
        tempfile.TemporaryDirectory() as directory,
        (Path(directory) / "log").open("w+") as log,
        subprocess.Popen(
            COMMAND, cwd=directory, env={**os.environ, **env}, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until(lambda: "worker started" in Path(log.name).read_text(), timeout=60)
            yield process.pid
        finally:
            process.terminate()


@contextmanager
def library(url: str) -> Iterator[psycopg.Connection[dict[str, object]]]:
    """The application's connection."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


if __name__ == "__main__":
    main()
