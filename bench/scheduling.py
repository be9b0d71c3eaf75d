"""Inserting tracks that are due in days: with our triggers beside the same table without them.

Run as `python -m bench.scheduling`. Batches of 1,000 rows, each a transaction.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg

from bench._database import migrated_database
from bench._rounds import Result, alternate, mean, report

GOAL = 2.0
ROUNDS = 9
BATCHES, BATCH = 30, 1000

INSERT = """
    insert into tracks (id, user_id, title, provider, status, audio_url, cover_url, created_at)
    select gen_random_uuid(), '7f5c1b1e-0d43-4f0c-9a3f-0e8f0a6f7c11', 'Song ' || n, 'suno',
        'completed', 'https://cdn.example.com/audio/' || n || '.mp3',
        'https://cdn.example.com/cover/' || n || '.jpg', now()
    from generate_series(1, %s) as n
"""


def main() -> None:
    report(measure, rounds=ROUNDS)


def measure(rounds: int) -> Result:
    """Seconds a row with triggers to seconds without."""
    with migrated_database() as url, psycopg.connect(url, autocommit=True) as connection:
        measured = alternate(
            lambda: insert(connection, triggers="enable"),
            lambda: insert(connection, triggers="disable"),
            rounds=rounds,
        )
    with_, without = (mean([pair[side] for pair in measured]) for side in (0, 1))
    return Result(
        "inserting far-future tracks",
        goal=GOAL,
        at_least=False,
        ratios=tuple(ours / other for ours, other in measured),
        detail=f"{with_:.1f} to {without:.1f} microseconds a row",
    )


def insert(connection: psycopg.Connection[Any], *, triggers: str) -> float:
    """Microseconds a row."""
    connection.execute("truncate tracks")
    connection.execute(f"alter table tracks {triggers} trigger user")  # type: ignore[arg-type]
    connection.execute(INSERT, [BATCH])
    start = time.perf_counter()
    for _ in range(BATCHES):
        connection.execute(INSERT, [BATCH])
    return (time.perf_counter() - start) / (BATCHES * BATCH) * 1e6


if __name__ == "__main__":
    main()
