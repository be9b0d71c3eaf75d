"""PostgreSQL on disk, with the durability that it has by default, and databases on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.queue.capability import install
from tests.support.databases import PostgresServer, migrate
from worker.demo.embedded import EmbeddedPostgres


@contextmanager
def migrated_database(*, ids_per_job: int = 100) -> Iterator[str]:
    """The URL of a migrated database that has the tests' capability too."""
    directory = Path(tempfile.mkdtemp(prefix="media-worker-bench-"))
    try:
        with (
            EmbeddedPostgres(directory / "data") as embedded,
            PostgresServer(embedded.url).fresh_database() as url,
        ):
            migrate(url)
            install(url, ids_per_job=ids_per_job)
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)
