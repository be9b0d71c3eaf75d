from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until

CALM = """
    import os, signal, time
    signal.signal(signal.SIGTERM, lambda *_: (print("bye"), os._exit(3)))
    print("ready", os.environ.get("WORD"), sorted(n for n in os.environ if "DATABASE" in n))
    for n in range(100000):
        print("tick", n)
        time.sleep(0.01)
"""
DEAF = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready")
    time.sleep(60)
"""


def python(processes: Processes, program: str, **env: str) -> RunningProcess:
    process = processes.start([sys.executable, "-c", textwrap.dedent(program)], env=env)
    if "ready" in program:
        process.wait_for_log("ready")
    return process


def test_its_output_is_seen_while_it_runs_and_sigterm_ends_it(processes: Processes) -> None:
    process = python(processes, CALM)
    assert process.returncode is None
    assert process.terminate() == 3
    assert "bye" in process.log


def test_it_sees_only_the_settings_that_it_is_given(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere")
    assert "ready blue []" in python(processes, CALM, WORD="blue").log


def test_a_frozen_process_writes_nothing_until_it_is_thawed(processes: Processes) -> None:
    process = python(processes, CALM)
    process.freeze()
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    before = process.log
    assert process.log == before
    process.thaw()
    wait_until(lambda: len(process.log) > len(before), message="more output")


def test_kill_leaves_no_time_for_good_byes(processes: Processes) -> None:
    process = python(processes, CALM)
    process.kill()
    assert process.returncode == -9
    assert "bye" not in process.log


def test_a_process_deaf_to_sigterm_fails_the_test(processes: Processes) -> None:
    process = python(processes, DEAF)
    with pytest.raises(AssertionError, match="still running"):
        process.terminate(timeout=0.1)


def test_waiting_for_a_line_of_a_process_that_ended_fails_with_its_log(
    processes: Processes,
) -> None:
    process = python(processes, "print('oh no')")
    with pytest.raises(AssertionError, match="oh no"):
        process.wait_for_log("fine")


def test_all_are_cleaned_up_frozen_ones_and_children_too(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        parent = python(
            processes,
            "import subprocess, time\n"
            "print('ready', subprocess.Popen(['sleep', '60']).pid)\n"
            "time.sleep(60)",
        )
        child = int(parent.wait_for_log("ready").split()[1])
        parent.freeze()
    gone = ("zombie", None)
    wait_until(lambda: status_of(parent.pid) in gone and status_of(child) in gone)


def status_of(pid: int) -> str | None:
    return psutil.Process(pid).status() if psutil.pid_exists(pid) else None
