"""Working off 20,000 rows on which there is nothing to do: ours beside stock procrastinate.

Run as `python -m bench.draining`. Stock: a job each, `App(PsycopgConnector())` with its defaults
but for `delete_jobs="always"`. Each run is a process of its own on the same server, begins with
empty, freshly analyzed tables, and has the same concurrency.
"""

from __future__ import annotations

import json
import subprocess
import sys

from bench._database import migrated_database
from bench._rounds import Result, alternate, mean, report

GOAL = 12.0
ROUNDS = 3
ROWS = 20_000
CONCURRENCY = 10


def main() -> None:
    report(measure, rounds=ROUNDS)


def measure(rounds: int) -> Result:
    """Rows a second to jobs a second."""
    with migrated_database() as url:
        measured = alternate(lambda: drain("ours", url), lambda: drain("stock", url), rounds=rounds)
    ours, stock = (mean([pair[side] for pair in measured]) for side in (0, 1))
    return Result(
        "working off rows, against stock procrastinate",
        goal=GOAL,
        at_least=True,
        ratios=tuple(mine / other for mine, other in measured),
        detail=f"{ours:,.0f} to {stock:,.0f} a second",
    )


def drain(way: str, url: str) -> float:
    """Rows a second, in a fresh process."""
    settings = json.dumps({"way": way, "url": url, "rows": ROWS, "concurrency": CONCURRENCY})
    command = [sys.executable, "-m", "bench._drains", settings]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
