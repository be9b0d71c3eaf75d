"""The two ways that `bench.draining` compares.

Run as `python -m bench._drains '{"way": "ours", …}'`; prints rows a second.
"""

from __future__ import annotations

import asyncio
import json
import logging as standard_logging
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString
from uuid import UUID

import procrastinate
import psycopg
import uvloop
from pydantic import SecretStr

from worker import logging
from worker.ability import Ability, Tools
from worker.app import compose
from worker.queue.model import Claimed, Done, WorkKind
from worker.settings import Settings


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    # neither way may inherit dead rows from the run before, nor plan without statistics
    execute(settings, "truncate test_work, procrastinate.procrastinate_jobs cascade")
    if settings["way"] == "ours":
        logging.configure()
        standard_logging.disable(standard_logging.INFO)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seconds = runner.run(ours(settings))
    else:
        seconds = asyncio.run(stock(settings))
    print(settings["rows"] / seconds)


def execute(settings: Mapping[str, Any], query: LiteralString, *params: Any) -> None:
    with psycopg.connect(settings["url"], autocommit=True) as connection:
        connection.execute(query, params or None)


async def ours(settings: Mapping[str, Any]) -> float:
    """Seconds for as many rows, claimed, run and completed."""
    execute(settings, "insert into test_work select from generate_series(1, %s)", settings["rows"])
    execute(settings, "vacuum analyze")
    app = compose(
        Settings(database_url=SecretStr(settings["url"])),
        capabilities=nothing_to_do,
        concurrency=settings["concurrency"],
    )
    await app.database.open()
    await app.lease.beat()
    start = time.perf_counter()
    await app.wakeups.drain_queue()
    seconds = time.perf_counter() - start
    assert app.kernel.tally.completed == settings["rows"]
    await app.database.close()
    return seconds


def nothing_to_do(_tools: Tools) -> Sequence[Ability]:
    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Done]:
        return {work.id: Done() for work in works}

    return [Ability(kinds=(WorkKind("test", "maintenance", "test.work", act, max_attempts=3),))]


async def stock(settings: Mapping[str, Any]) -> float:
    """Seconds for as many jobs."""
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=settings["url"],
            kwargs={"options": "-c search_path=procrastinate,pg_temp"},
        )
    )

    @app.task(name="nothing", queue="stock")
    async def nothing(id: str) -> None:
        pass

    async with app.open_async():
        await nothing.batch_defer_async(*({"id": str(n)} for n in range(settings["rows"])))
        execute(settings, "vacuum analyze")
        start = time.perf_counter()
        await app.run_worker_async(
            queues=["stock"],
            wait=False,
            concurrency=settings["concurrency"],
            delete_jobs="always",
            install_signal_handlers=False,
        )
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
