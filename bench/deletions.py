"""10,000 assets deleted at Cloudinary: by a worker, beside one `destroy` of the SDK for each.

Run as `python -m bench.deletions`. A call takes 50 ms; the SDK makes 16 of them at a time, as many
as a worker has jobs in flight. The worker's time begins with the application's DELETE and ends when
every row of the queue is completed; it looks at each asset before it asks for its deletion.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bench._cloudinary import API_KEY, API_SECRET, CLOUD_NAME, account, library, name, worker
from bench._database import migrated_database
from bench._rounds import Result, alternate, mean, report
from tests.support.wait import wait_until

GOAL = 3.0
ROUNDS = 1
ASSETS = 10_000
LATENCY = 0.05  # seconds
AT_ONCE = 16
ROWS = "insert into media_files (public_id, resource_type) select unnest(%s::text[]), 'image'"
IS_DONE = (
    "select not exists (select from cloudinary_cleanup_queue where status <> 'completed') as done"
)
NAMES = [name(number) for number in range(ASSETS)]


def main() -> None:
    report(measure, rounds=ROUNDS)


def measure(rounds: int) -> Result:
    """Seconds of the SDK to seconds of the worker."""
    calls: dict[str, int] = {}
    measured = alternate(lambda: ours(calls), lambda: peer(calls), rounds=rounds)
    seconds = [mean([pair[side] for pair in measured]) for side in (0, 1)]
    return Result(
        f"deleting {ASSETS:,} assets, against destroy",
        goal=GOAL,
        at_least=True,
        ratios=tuple(other / mine for mine, other in measured),
        detail=f"{seconds[0]:.1f} against {seconds[1]:.1f} s,"
        f" {calls['ours']:,} against {calls['peer']:,} calls",
    )


def ours(calls: dict[str, int]) -> float:
    """Seconds."""
    with (
        migrated_database() as url,
        account(ASSETS, latency=LATENCY) as cloudinary,
        library(url) as connection,
        worker({"DATABASE_URL": url, **cloudinary.env}),
    ):
        connection.execute(ROWS, [NAMES])
        start = time.perf_counter()
        connection.execute("delete from media_files")
        wait_until(
            lambda: (connection.execute(IS_DONE).fetchone() or {})["done"], timeout=600,
            message="the deletions",
        )  # fmt: skip
        seconds = time.perf_counter() - start
        calls["ours"] = cloudinary.calls
    return seconds


def peer(calls: dict[str, int]) -> float:
    """Seconds."""
    import cloudinary.uploader

    with account(ASSETS, latency=LATENCY) as server, ThreadPoolExecutor(AT_ONCE) as threads:
        options = {
            "cloud_name": CLOUD_NAME, "api_key": API_KEY, "api_secret": API_SECRET,
            "upload_prefix": server.url, "invalidate": True,
        }  # fmt: skip
        start = time.perf_counter()
        said = threads.map(lambda each: cloudinary.uploader.destroy(each, **options), NAMES)
        assert all(answer["result"] == "ok" for answer in said)
        seconds = time.perf_counter() - start
        calls["peer"] = server.calls
    return seconds


if __name__ == "__main__":
    main()
