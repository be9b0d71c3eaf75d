"""What systemd hears of a worker, and what it must not hear."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Faults
from tests.support.proxy import DatabaseProxy
from tests.support.wait import wait_until

WATCHDOG_USEC = str(20_000_000)


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, directory: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(directory / "notify"))
        self.socket.setblocking(False)
        self.env = {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": WATCHDOG_USEC}
        self._heard: list[str] = []

    def count(self, word: str) -> int:
        """How often it has said so, so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard += self.socket.recv(1000).decode().split("\n")
        return self._heard.count(word)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    yield made
    made.socket.close()


def test_ready_when_it_works_and_stopping_when_told(faults: Faults, systemd: Systemd) -> None:
    with DatabaseProxy(faults.archive.url) as proxy:
        proxy.cut()
        worker = faults.start(DATABASE_URL=proxy.url, **systemd.env)
        wait_until(lambda: systemd.count("WATCHDOG=1"), message="the watchdog to be fed")
        worker.wait_for_log("trying again")
        assert systemd.count("READY=1") == 0
        proxy.forward()
        wait_until(lambda: systemd.count("READY=1"), message="READY")
        assert worker.terminate() == 0
    assert systemd.count("STOPPING=1") == 1


def test_watchdog_is_fed_while_the_database_is_away(faults: Faults, systemd: Systemd) -> None:
    with DatabaseProxy(faults.archive.url) as proxy:
        faults.start(DATABASE_URL=proxy.url, **systemd.env)
        wait_until(lambda: systemd.count("READY=1"), message="READY")
        proxy.cut()
        fed = systemd.count("WATCHDOG=1")
        wait_until(lambda: systemd.count("WATCHDOG=1") >= fed + 1, timeout=15)


@pytest.mark.soak
def test_watchdog_is_fed_while_the_network_stalls(faults: Faults, systemd: Systemd) -> None:
    with DatabaseProxy(faults.archive.url) as proxy:
        faults.start(DATABASE_URL=proxy.url, **systemd.env)
        wait_until(lambda: systemd.count("READY=1"), message="READY")
        proxy.freeze()
        for _ in range(3):
            fed = systemd.count("WATCHDOG=1")
            wait_until(
                lambda fed=fed: systemd.count("WATCHDOG=1") > fed,  # type: ignore[misc]
                timeout=int(WATCHDOG_USEC) / 1_000_000,
            )
        proxy.forward()


def test_watchdog_is_not_fed_by_a_stuck_loop(faults: Faults, systemd: Systemd) -> None:
    command = [sys.executable, "-m", "tests.faults.stuck"]
    worker = faults.processes.start(command, env=faults.archive.env | systemd.env)
    wait_until(lambda: systemd.count("WATCHDOG=1") >= 1, message="the watchdog to be fed")
    worker.wait_for_log("worker started")
    os.kill(worker.pid, signal.SIGUSR1)
    worker.wait_for_log("stuck")
    fed = systemd.count("WATCHDOG=1")
    time.sleep(7)  # more than one heartbeat
    assert systemd.count("WATCHDOG=1") == fed
