"""A full sync of 50,000 assets beside one of 5,000: what a worker needs must not grow with them.

Run as `python -m bench.full_sync`. The table is empty, a page has 500 assets, a call takes 50 ms.
Measured is the most memory that the worker's process ever had.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from bench._cloudinary import account, library, worker
from bench._database import migrated_database
from bench._rounds import Result, alternate, mean, report
from tests.support.wait import wait_until

GOAL = 1.1
ROUNDS = 1
MANY, FEW = 50_000, 5_000
LATENCY = 0.05  # seconds
PAGE = 500
HAS_ENDED = "select status in ('completed', 'failed') as ended from media_sync_runs"


def main() -> None:
    report(measure, rounds=ROUNDS)


def measure(rounds: int) -> Result:
    """Peak memory with many assets to that with few."""
    speeds: dict[int, float] = {}
    measured = alternate(lambda: peak(MANY, speeds), lambda: peak(FEW, speeds), rounds=rounds)
    megabytes = [mean([pair[side] for pair in measured]) for side in (0, 1)]
    return Result(
        f"peak memory of a full sync of {MANY:,} to {FEW:,}",
        goal=GOAL,
        at_least=False,
        ratios=tuple(many / few for many, few in measured),
        detail=f"{megabytes[0]:.0f} to {megabytes[1]:.0f} MB,"
        f" {speeds[MANY]:.0f} and {speeds[FEW]:.0f} assets a second",
    )


def peak(assets: int, speeds: dict[int, float]) -> float:
    """MB."""
    with (
        migrated_database() as url,
        account(assets, latency=LATENCY) as cloudinary,
        library(url) as connection,
        worker({"DATABASE_URL": url, **cloudinary.env}) as pid,
    ):
        start = time.perf_counter()
        connection.execute("select request_media_sync(batch_size => %s)", [PAGE])
        wait_until(
            lambda: (connection.execute(HAS_ENDED).fetchone() or {})["ended"], timeout=600,
            message="the sync",
        )  # fmt: skip
        speeds[assets] = assets / (time.perf_counter() - start)
        megabytes = _peak_of(pid)
        row = connection.execute("select count(*) as rows from media_assets").fetchone() or {}
        assert row["rows"] == assets
    return megabytes


def _peak_of(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found.group(1)) * 1024 / 1e6


if __name__ == "__main__":
    main()
