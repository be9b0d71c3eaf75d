"""`python -m tests.storage.requester …`: asks a storage as often as it may, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from worker.db.pool import Database
from worker.storage import ObjectStore, StorageTarget
from worker.storage.rates import SharedRates
from worker.storage.throttle import Throttle

THREADS = 4


def ask_for_ever(store: ObjectStore) -> None:
    while True:
        store.exists("a")


async def main(database: str, endpoint: str, limit: str) -> None:
    throttle = Throttle("cdn:a", SharedRates(Database(database)), limit=float(limit))
    target = StorageTarget("cdn:a", endpoint, "auto", "id", "secret", "bucket")
    store = ObjectStore(target, throttle=throttle)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as executor:
        await asyncio.gather(
            *(loop.run_in_executor(executor, ask_for_ever, store) for _ in range(THREADS))
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
