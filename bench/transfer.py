"""Transfers of 5 MB files from a provider to a storage: ours beside httpx with boto3.

Run as `python -m bench.transfer`. Provider, storage and client are processes of their own on
loopback; each round runs both ways in turn, in fresh processes, so that whatever else the machine
does meets both. At the end: the peak memory of ours at 32 files of 100 MB at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

GOAL_RATIO = 4.0
GOAL_MEMORY = 120
FILE = 5_000_000
LARGE_FILE = 100_000_000


@dataclass(frozen=True)
class Case:
    files: int
    at_once: int
    size: int = FILE


@dataclass(frozen=True)
class Figures:
    """MB/s, processor seconds for each GB, peak resident memory in MB."""

    speed: float
    processor: float
    memory: float


CASES = (Case(files=160, at_once=4), Case(files=160, at_once=32))
WAYS = {
    "peer": "httpx + upload_fileobj",
    "ours": "worker.storage",
    "without_md5": "  without its MD5",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds: int = arguments.parse_args().rounds
    with ExitStack() as stack:
        provider = stack.enter_context(server("bench._provider"))
        sink = stack.enter_context(server("bench._sink"))
        for case in CASES:
            compare(case, rounds, provider, sink)
        memory = measure("ours", Case(32, 32, LARGE_FILE), provider, sink).memory
    print(f"\npeak memory at 32 x 100 MB at once: {memory:.0f} MB (goal: at most {GOAL_MEMORY})")


def compare(case: Case, rounds: int, provider: int, sink: int) -> None:
    """Prints a table; its ratios of speed are medians over the rounds."""
    runs: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, figures in runs.items():
            figures.append(measure(way, case, provider, sink))
    print(f"\n{case.files} files of {case.size / 1e6:g} MB, {case.at_once} at once")
    print(f"{'':22}{'MB/s':>8}{'(least-most)':>16}{'CPU-s/GB':>10}{'peak MB':>9}")
    for way, name in WAYS.items():
        print(row(name, runs[way]))
    print(f"ratio of speed (goal: at least {GOAL_RATIO:g})")
    for way in ("ours", "without_md5"):
        print(ratio(WAYS[way], runs[way], runs["peer"]), flush=True)


def ratio(name: str, figures: list[Figures], peer: list[Figures]) -> str:
    pairs = zip(figures, peer, strict=True)
    ratios = [mine.speed / other.speed for mine, other in pairs]
    spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
    return f"{name:22}{statistics.median(ratios):8.2f}{spread:>16}"


def row(name: str, figures: list[Figures]) -> str:
    speeds = [one.speed for one in figures]
    spread = f"({min(speeds):.0f}-{max(speeds):.0f})"
    processor = statistics.median(one.processor for one in figures)
    memory = max(one.memory for one in figures)
    return f"{name:22}{statistics.median(speeds):8.0f}{spread:>16}{processor:10.2f}{memory:9.0f}"


def measure(way: str, case: Case, provider: int, sink: int) -> Figures:
    """One run in a fresh process."""
    settings = json.dumps({"way": way, "provider": provider, "sink": sink, **asdict(case)})
    command = [sys.executable, "-m", "bench._clients", settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return Figures(**json.loads(done.stdout))


@contextmanager
def server(module: str) -> Iterator[int]:
    """The port of a server in a process of its own."""
    command = [sys.executable, "-m", module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


if __name__ == "__main__":
    main()
