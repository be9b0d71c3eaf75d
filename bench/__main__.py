"""`python -m bench`: all benchmarks, one line each.

Each alone: `python -m bench.draining`, `.scheduling`, `.waking`, `.transfer`,
`.cdn_bytes`, `.deletions`, `.full_sync`.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack

from bench import cdn_bytes, deletions, draining, full_sync, scheduling, transfer, waking
from bench._rounds import HEAD, Result, alternate


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, help="in place of each benchmark's own number")
    rounds: int | None = arguments.parse_args().rounds
    print(HEAD, flush=True)
    for benchmark in (scheduling, waking, draining):
        print(benchmark.measure(rounds or benchmark.ROUNDS), flush=True)
    for case in transfer.CASES:
        print(transferring(case, rounds or 5), flush=True)
    for copies in cdn_bytes.CASES:
        print(cdn_bytes.measure(rounds or cdn_bytes.ROUNDS, copies), flush=True)
    for slow in (deletions, full_sync):
        print(slow.measure(rounds or slow.ROUNDS), flush=True)


def transferring(case: transfer.Case, rounds: int) -> Result:
    """Transfers beside httpx with boto3, as `bench.transfer` shows in detail."""
    with ExitStack() as stack:
        provider = stack.enter_context(transfer.server("bench._provider"))
        sink = stack.enter_context(transfer.server("bench._sink"))
        measured = alternate(
            lambda: transfer.measure("ours", case, provider, sink).speed,
            lambda: transfer.measure("peer", case, provider, sink).speed,
            rounds=rounds,
        )
    return Result(
        f"moving files, {case.at_once} at once, against upload_fileobj",
        goal=transfer.GOAL_RATIO,
        at_least=True,
        ratios=tuple(ours / peer for ours, peer in measured),
    )


if __name__ == "__main__":
    main()
