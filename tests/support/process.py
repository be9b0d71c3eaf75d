"""Real worker processes, to be watched, frozen and killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.wait import wait_until
from tests.support.warm import WarmProcess, is_python

COMMAND = [sys.executable, "-c", "from worker.cli import main; main()"]
REPOSITORY = Path(__file__).parents[2]
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class RunningProcess:
    """A process in a group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self.log_path = cwd / "output.log"
        self.log_path.touch()
        self._process = started(
            command, stdout=self.log_path, stderr=self.log_path, cwd=cwd, env=_environment(env)
        )
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, *, timeout: float = 60.0) -> str:
        """The first log line with `text` in it; fails when the process ends without one."""

        def line_or_end() -> str | None:
            ended = self.returncode is not None  # looked at first: then the log is complete
            found = next((line for line in self.log.splitlines() if text in line), None)
            if found is None and ended:
                raise AssertionError(f"ended with {self.returncode} before {text!r}:\n{self.log}")
            return found

        found = wait_until(line_or_end, timeout=timeout, message=f"{text!r} in the log")
        assert found is not None
        return found

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s:\n{self.log}") from None

    def terminate(self, *, timeout: float = 20.0) -> int:
        """Send SIGTERM and return its exit status; fails if it takes longer than `timeout`."""
        self._process.terminate()
        return self.wait(timeout)

    def interrupt(self, *, timeout: float = 20.0) -> int:
        """Send SIGINT, as Ctrl-C does, and return its exit status."""
        self._process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def kill(self) -> None:
        """kill -9, and wait until it is gone; its own children live on."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it stays alive and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def clean_up(self) -> None:
        """Kill it and its children, in whatever state they are."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Processes:
    """Starts processes in directories of their own and cleans all of them up at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[RunningProcess] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.clean_up()
            # pytest shows it with a failure
            print(f"--- {process.log_path.parent.name} ---\n{process.log}")

    def worker(self, env: Mapping[str, str], *options: str) -> RunningProcess:
        """`media-worker run` with nothing but `env` for its settings."""
        return self.media_worker("run", *options, env=env)

    def media_worker(self, *arguments: str, env: Mapping[str, str]) -> RunningProcess:
        """`media-worker` with any arguments."""
        return self.start([*COMMAND, *arguments], env=env)

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> RunningProcess:
        """Any program."""
        cwd = self._directory / f"process-{len(self._started) + 1}"
        cwd.mkdir()
        process = RunningProcess(command, env=env or {}, cwd=cwd)
        self._started.append(process)
        return process


def started(
    command: Sequence[str], *, stdout: Path, stderr: Path, cwd: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes] | WarmProcess:
    """The command in a session of its own, its output appended to files that exist."""
    if is_python(command):
        return WarmProcess(command, stdout=stdout, stderr=stderr, cwd=cwd, env=env)
    with stdout.open("ab") as out, stderr.open("ab") as err:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **given}
