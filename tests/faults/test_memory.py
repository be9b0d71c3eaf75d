"""Memory that does not grow with the size of what is moved."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.faults.conftest import MIB, Faults
from tests.faults.sink import Sink
from tests.support.process import RunningProcess

LIMIT = 120 * MIB
PARTS = 4 * (8 * MIB + MIB // 4)  # of bodies of unknown length, which are in memory
AT_ONCE = 32


@pytest.mark.parametrize(
    "size", [12 * MIB, pytest.param(100 * MIB, marks=pytest.mark.soak)], ids=["small", "large"]
)
def test_32_transfers_at_once_stay_in_120_megabytes(faults: Faults, size: int) -> None:
    # slow enough for all of them to be under way at once
    faults.tracks(AT_ONCE, size=size, bytes_per_second=max(size // 30, 4 * MIB))
    with Sink() as sink:
        worker = faults.start(STORAGE_ENDPOINT=sink.endpoint, WORKER_CONCURRENCY=str(AT_ONCE))
        watch = PeakMemory(worker)
        faults.wait_for_rest(timeout=100)
        peak = watch.stop()
        assert sink.most_at_once == AT_ONCE
        assert sorted(sink.sizes.values()) == list(range(size, size + AT_ONCE))
    print(f"peak {peak / MIB:.0f} MiB")
    assert worker.returncode is None
    assert peak < LIMIT


def test_bodies_of_unknown_length_cost_four_parts_more(faults: Faults) -> None:
    faults.tracks(AT_ONCE, size=9 * MIB, framing="chunked")
    with Sink() as sink:
        worker = faults.start(STORAGE_ENDPOINT=sink.endpoint, WORKER_CONCURRENCY=str(AT_ONCE))
        watch = PeakMemory(worker)
        faults.wait_for_rest(timeout=60)
        peak = watch.stop()
    print(f"peak {peak / MIB:.0f} MiB")
    assert peak < LIMIT + PARTS


class PeakMemory:
    """Looks at a process's resident memory (its own peak counter starts with the interpreter)."""

    def __init__(self, worker: RunningProcess) -> None:
        self._status = Path(f"/proc/{worker.pid}/status")
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The peak so far, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            fields = dict(line.split(":", 1) for line in self._status.read_text().splitlines())
            self._peak = max(self._peak, int(fields["VmRSS"].split()[0]) * 1024)
