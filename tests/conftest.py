"""The real parts that tests run against: PostgreSQL, an S3 server, a provider, worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.buckets import S3ForTests
from tests.support.databases import PostgresServer
from tests.support.process import Processes
from worker.demo.embedded import EmbeddedPostgres
from worker.demo.provider import Provider

# Other people's code warns on newer Pythons, in its server's threads too; ours may not.
NOISE_OF_S3 = [
    "ignore::DeprecationWarning:moto.*",
    "ignore::DeprecationWarning:botocore.*",
    "ignore::DeprecationWarning:werkzeug.*",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "s3" in getattr(item, "fixturenames", ()):
            for warning in NOISE_OF_S3:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of TEST_DATABASE_URL (a superuser's), or an embedded one."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield PostgresServer(given)
        return
    with EmbeddedPostgres(for_tests=True) as server:
        yield PostgresServer(server.url, embedded=server)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database with the newest schema, to clone from."""
    with postgres_server.migrated_template() as name:
        yield name


@pytest.fixture
def database(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh database with the newest schema."""
    with postgres_server.fresh_database(template=migrated_template) as url:
        yield url


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh database without anything in it."""
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def s3() -> Iterator[S3ForTests]:
    """An S3 server over HTTP; take `s3.fresh_bucket()`, never a fixed name."""
    with S3ForTests().start() as server:
        yield server


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    with Provider() as server:
        yield server


@pytest.fixture
def provider(provider_server: Provider) -> Iterator[Provider]:
    """The local provider, without scripts and with an empty journal."""
    yield provider_server
    provider_server.reset()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real worker processes, and ends them with the test."""
    with Processes(tmp_path) as started:
        yield started
