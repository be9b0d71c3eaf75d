from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.demo.traces import Traces
from tests.support.process import Processes
from tests.support.wait import wait_until
from worker.demo.proof import Check, failed

WITH_A_LIE = """
    import sys
    from worker.demo.demo import run_demo
    from worker.demo.proof import Check

    class Liar:
        title, story, columns = "Liar", "It says what is not so.", ("what", "special")

        def __init__(self, stage): self.stage = stage
        def steps(self): return []
        def rows(self): return []
        def checks(self):
            return [Check("tracks", "1", str(self.stage.value("select count(*) from tracks")))]

    sys.exit(0 if run_demo(scenes=[Liar]) else 1)
"""


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "tmp")


def test_demo_proves_every_outcome_within_a_minute_and_leaves_nothing(
    processes: Processes, traces: Traces
) -> None:
    began = time.monotonic()
    demo = processes.media_worker(
        "demo",
        env=traces.env
        | {
            "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:9/real",
            "STORAGE_ENDPOINT": "http://127.0.0.1:9",
            "AWS_PROFILE": "unknown",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        },
    )
    assert demo.wait(timeout=60) == 0
    assert time.monotonic() - began < 60
    assert "NOT OK" not in demo.log and "are ok, after" in demo.log
    assert "DATABASE_URL, STORAGE_ENDPOINT: set here, and not used" in demo.log
    assert "secret" not in demo.log
    assert "\x1b" not in demo.log and "\r" not in demo.log
    assert traces.processes() == []
    assert traces.places(demo.log) == []


def test_ctrl_c_stops_the_demo_in_the_middle_and_leaves_nothing(
    processes: Processes, traces: Traces
) -> None:
    demo = processes.media_worker("demo", env=traces.env)
    demo.wait_for_log("job processing")
    assert len(traces.processes()) > 2
    assert demo.interrupt() == 130
    assert traces.processes() == []
    assert traces.places(demo.log) == []
    assert "Traceback" not in demo.log


def test_a_demo_that_is_killed_leaves_nothing_either(processes: Processes, traces: Traces) -> None:
    demo = processes.media_worker("demo", env=traces.env)
    demo.wait_for_log("job processing")
    demo.kill()
    wait_until(lambda: not traces.processes(), timeout=20, message="no process left")
    assert traces.places(demo.log) == []


def test_an_outcome_that_is_not_so_is_shown_and_makes_the_demo_fail(
    processes: Processes, traces: Traces
) -> None:
    demo = processes.start([sys.executable, "-c", textwrap.dedent(WITH_A_LIE)], env=traces.env)
    assert demo.wait() == 1
    assert "NOT OK" in demo.log and "1 of 3 checks are NOT ok" in demo.log
    assert "worker stopped" in demo.log  # the end of the worker's log
    assert traces.processes() == []


def test_a_check_is_ok_only_if_what_is_found_is_what_was_expected() -> None:
    assert Check("files", "3", "3").ok
    assert not Check("files", "3", "30").ok
    assert not Check("files", "3", "").ok
    assert Check("error", "expired", "failed: Expired at the provider", within=True).ok
    assert not Check("error", "expired", "completed: None", within=True).ok


def test_a_demo_without_a_single_check_has_failed() -> None:
    assert [check.what for check in failed({"Tracks": []})] == ["checks"]
