"""Python processes that start at once: forks of one that has imported what workers import.

Imports take a worker a second of its two cores. What it does afterwards is its own: settings,
directory, output, group, death. What the demo starts comes the long way, as users' workers do.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

PRELOADED = ["tests.support.preloaded"]


def is_python(command: Sequence[str]) -> bool:
    """Whether the command can be run warm."""
    return command[0] == sys.executable and command[1] in ("-c", "-m")


class WarmProcess:
    """What `subprocess.Popen` would be for `command`, in a session of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdout: Path,
        stderr: Path,
        cwd: Path,
        env: Mapping[str, str],
    ) -> None:
        self.args = list(command)
        self._process = _context().Process(
            target=_become,
            args=(self.args[1:], str(stdout), str(stderr), str(cwd), dict(env)),
            daemon=True,
        )
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _become(arguments: list[str], stdout: str, stderr: str, cwd: str, env: dict[str, str]) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    sys.stdin = io.TextIOWrapper(io.FileIO(_redirect(0, os.devnull, os.O_RDONLY), closefd=False))
    sys.stdout = _unbuffered(_redirect(1, stdout, os.O_WRONLY))
    sys.stderr = _unbuffered(_redirect(2, stderr, os.O_WRONLY))
    _run(arguments)


def _redirect(descriptor: int, path: str, mode: int) -> int:
    opened = os.open(path, mode | os.O_APPEND)
    os.dup2(opened, descriptor)
    os.close(opened)
    return descriptor


def _unbuffered(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", write_through=True)


def _run(arguments: list[str]) -> None:
    option, program, *rest = arguments
    sys.argv = [option, *rest]
    if option == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})
