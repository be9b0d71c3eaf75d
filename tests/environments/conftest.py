"""Teams on databases of many kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.environments.team import Kind, Start, Team, connect
from tests.support.buckets import S3ForTests
from tests.support.databases import PostgresServer, changed_url, migrate
from tests.support.process import Processes
from tests.support.supabase import create_roles
from worker.demo.embedded import EmbeddedPostgres
from worker.demo.provider import Provider

ROLES = """
create role media_worker nologin;
create role member login in role media_worker;
create role studio login createrole;
create role app login;
"""


@pytest.fixture(scope="session")
def own_server() -> Iterator[PostgresServer]:
    """A server on which tests may make roles of fixed names."""
    with EmbeddedPostgres(for_tests=True) as embedded:
        server = PostgresServer(embedded.url, embedded=embedded)
        create_roles(server)
        with connect(server.url) as superuser:
            superuser.execute(ROLES)
        yield server


@pytest.fixture
def start(s3: S3ForTests, provider: Provider, processes: Processes) -> Iterator[Start]:
    """Sets a database up for a kind of team, migrates it, and returns the team."""
    with ExitStack() as connections:

        def begin(url: str, kind: Kind) -> Team:
            with connect(url) as superuser:
                superuser.execute(kind.setup.encode())
            migrate(_as(url, kind.owner))
            application = connections.enter_context(connect(_as(url, kind.application)))
            application.execute(kind.session.encode())
            look = connections.enter_context(connect(url))
            look.execute("set default_transaction_read_only = off")
            return Team(
                kind,
                look,
                application,
                _as(url, kind.worker),
                s3,
                provider,
                processes,
                s3.fresh_bucket("tracks"),
            )

        yield begin


def _as(url: str, role: str | None) -> str:
    return url if role is None else changed_url(url, user=role)
