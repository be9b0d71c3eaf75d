"""Inserting 10,000 work rows that are due: with their jobs beside the rows alone.

Run as `python -m bench.waking`. One statement, up to 100 rows in a job.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from bench._database import migrated_database
from bench._rounds import Result, alternate, mean, report

GOAL = 1.5
ROUNDS = 15
ROWS = 10_000


def main() -> None:
    report(measure, rounds=ROUNDS)


def measure(rounds: int) -> Result:
    """Seconds with jobs to seconds without."""
    with migrated_database() as url, psycopg.connect(url, autocommit=True) as connection:
        measured = alternate(
            lambda: insert(connection, trigger="enable"),
            lambda: insert(connection, trigger="disable"),
            rounds=rounds,
        )
    with_, without = (mean([pair[side] for pair in measured]) for side in (0, 1))
    return Result(
        "inserting due work rows",
        goal=GOAL,
        at_least=False,
        ratios=tuple(ours / other for ours, other in measured),
        detail=f"{with_:.0f} to {without:.0f} ms for {ROWS:,} rows",
    )


def insert(connection: psycopg.Connection[Any], *, trigger: str) -> float:
    """Milliseconds."""
    connection.execute("truncate test_work")
    connection.execute("truncate procrastinate.procrastinate_jobs cascade")
    connection.execute(f"alter table test_work {trigger} trigger zz_media_worker_wake_insert")  # type: ignore[arg-type]
    connection.execute("checkpoint")
    start = time.perf_counter()
    connection.execute("insert into test_work select from generate_series(1, %s)", [ROWS])
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
