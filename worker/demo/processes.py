"""The real commands, run as processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from worker.demo.embedded import PartDidNotStart
from worker.demo.leash import leashed, release

COMMAND = [sys.executable, "-c", "from worker.cli import main; main()"]


class WorkerProcess:
    """`media-worker run` on a leash; what it logs goes to `output`, or can be read from `log`.

    `cwd` is where it looks for `.env`; `grace`: seconds it gets to end. `scratch` is removed if
    this process is killed.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        cwd: Path,
        grace: float,
        output: Path | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._env = env
        self._cwd = cwd
        self._grace = grace
        self._output = output
        self._scratch = scratch
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as files:
            stdout = files.enter_context(self._output.open("wb")) if self._output else None
            self._process = subprocess.Popen(
                leashed([*COMMAND, "run"], scratch=self._scratch),
                stdin=subprocess.PIPE,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=dict(self._env),
                start_new_session=True,  # Ctrl-C is for the owner, who stops it when it is time
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> IO[bytes]:
        """What it writes, where there is no `output`; ends with it."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the worker's output goes elsewhere")
        return self._process.stdout

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll() if self._process else None

    def ask_to_stop(self) -> None:
        """Send SIGTERM, as systemd does."""
        if self._process and self.status is None:
            self._process.terminate()

    def stop(self) -> int | None:
        """Stop it in order, or by force when that takes too long; returns the exit status."""
        if self._process is None:
            return None
        self.ask_to_stop()
        try:
            self._process.wait(self._grace)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        release(self._process)
        return self._process.returncode


def migrate(env: Mapping[str, str], *, cwd: Path) -> list[str]:
    """Run `media-worker migrate`; returns the lines that it prints.

    Raises `PartDidNotStart` with its own words when it fails.
    """
    result = subprocess.run(
        [*COMMAND, "migrate"], capture_output=True, text=True, env=dict(env), cwd=cwd
    )
    if result.returncode:
        raise PartDidNotStart(f"media-worker migrate failed: {result.stderr.strip()}")
    return result.stdout.splitlines()
