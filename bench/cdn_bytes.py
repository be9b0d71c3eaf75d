"""Copies of tracks on two CDN targets, 16 at a time: ours beside boto3's upload_fileobj.

Run as `python -m bench.cdn_bytes`. A track is a sidecar of 2 KB and an audio file of 5 MB, which
lie on this machine's disk. The targets are servers of their own on loopback; each round runs both
ways in turn, in fresh processes. `hashed` is ours with the hashes of each file computed too, as
they are while a file is downloaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from bench._rounds import HEAD, Result, alternate
from bench.transfer import server

GOAL = 3.0
ROUNDS = 5
SIDECAR, AUDIO = 2_000, 5_000_000


@dataclass(frozen=True)
class Case:
    """`unit`: what of a second is counted: objects, or a number of bytes."""

    name: str
    tracks: int
    sizes: tuple[int, ...]
    unit: str = "objects"


CASES = (
    Case("sidecars of 2 KB", 1000, (SIDECAR,)),
    Case("audio of 5 MB", 60, (AUDIO,), unit="MB"),
    Case("tracks of both", 60, (SIDECAR, AUDIO), unit="MB"),
)
MIX = CASES[-1]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = arguments.parse_args().rounds
    print(HEAD)
    for case in CASES:
        print(measure(rounds, case), flush=True)
    print(measure(rounds, MIX, way="hashed"), flush=True)


def measure(rounds: int, case: Case = MIX, *, way: str = "ours") -> Result:
    """Ratios of speed."""
    with ExitStack() as stack:
        sinks = [stack.enter_context(server("bench._sink")) for _ in range(2)]
        measured = alternate(
            lambda: run(way, case, sinks), lambda: run("peer", case, sinks), rounds=rounds
        )
    speeds = [statistics.median(column) for column in zip(*measured, strict=True)]
    return Result(
        f"{case.name} to two targets" + (", hashed" if way == "hashed" else ""),
        goal=GOAL,
        at_least=True,
        ratios=tuple(ours / peer for ours, peer in measured),
        detail=f"{speeds[0]:.0f} against {speeds[1]:.0f} {case.unit}/s",
    )


def run(way: str, case: Case, sinks: list[int]) -> float:
    """Objects or MB a second of one run in a fresh process."""
    settings = json.dumps({"way": way, "sinks": sinks, **asdict(case)})
    command = [sys.executable, "-m", "bench._cdn_clients", settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    seconds = float(done.stdout)
    count = case.tracks * len(sinks)
    return count * (len(case.sizes) if case.unit == "objects" else sum(case.sizes) / 1e6) / seconds


if __name__ == "__main__":
    main()
