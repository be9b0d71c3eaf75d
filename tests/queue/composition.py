"""Workers for tests: the product's own composition with a shorter breath and other capabilities."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import SecretStr

from tests.queue.capability import capability
from tests.support.wait import wait_until_async
from worker.ability import Capabilities
from worker.app import Application, compose
from worker.daemon import Daemon
from worker.settings import Settings

ISOLATED = "tests.queue.isolated"


def settings_for(url: str, **values: object) -> Settings:
    """Settings with nothing but a database, and short delays."""
    given = {"retry_delays": (0.1, 0.2, 0.3), "shutdown_grace": 5.0, **values}
    return Settings(database_url=SecretStr(url), **given)  # type: ignore[arg-type]


def compose_for_tests(
    settings: Settings,
    *,
    capabilities: Capabilities = capability,
    every: float = 0.2,
    without: Collection[str] = (),
    concurrency: int = 4,
    isolated_module: str | None = None,
) -> Application:
    """A worker whose duties come every so many seconds; those in `without` never do."""
    app = compose(
        settings,
        capabilities=capabilities,
        concurrency=concurrency,
        isolated_module=isolated_module,
    )
    duties = tuple(replace(duty, every=every) for duty in app.duties if duty.name not in without)
    return replace(app, duties=duties)


@asynccontextmanager
async def working(app: Application) -> AsyncIterator[Application]:
    """The worker's daemon in this process, stopped in order at the end."""
    daemon = Daemon(app)
    life = asyncio.create_task(daemon.run())

    async def registered() -> bool:
        if life.done():
            life.result()
        rows = await app.database.call(
            "select 1 from media_worker.workers where worker_id = %s", [app.store.worker_id]
        )
        return bool(rows)

    await wait_until_async(registered, message="the worker's registration")
    try:
        yield app
    finally:
        if not life.done():
            signal.raise_signal(signal.SIGTERM)
        assert await life == 0
