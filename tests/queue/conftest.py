"""A database with the tests' capability; and one with procrastinate's schema and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psycopg
import pytest
from procrastinate.schema import SchemaManager

from tests.queue.capability import install
from tests.queue.site import Site
from tests.support.process import Processes, RunningProcess

FIX_SEARCH_PATHS = """
    do $$
    declare
        routine regprocedure;
    begin
        for routine in
            select oid::regprocedure from pg_proc where pronamespace = 'procrastinate'::regnamespace
        loop
            execute format('alter function %s set search_path = procrastinate, pg_temp', routine);
        end loop;
    end $$
"""


@pytest.fixture
def queue_database(empty_database: str) -> str:
    """The URL of a database with the queue's schema, reached by no search path."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create schema procrastinate; set search_path = procrastinate")
        connection.execute(SchemaManager.get_schema())  # type: ignore[arg-type]
        connection.execute(FIX_SEARCH_PATHS)
    return empty_database


@pytest.fixture
def site(database: str) -> Iterator[Site]:
    """The tests' capability in a database of its own, as its application sees it."""
    install(database)
    with Site(database) as opened:
        yield opened


class Workers:
    """Starts worker processes with the tests' capability."""

    def __init__(self, processes: Processes, site: Site) -> None:
        self._processes = processes
        self._site = site

    def start(self, *options: str, **env: str) -> RunningProcess:
        """A worker that is registered."""
        worker = self.begin(*options, **env)
        worker.wait_for_log("worker started")
        return worker

    def begin(self, *options: str, **env: str) -> RunningProcess:
        """A worker, from its very beginning."""
        command = [sys.executable, "-m", "tests.queue.process", *options]
        settings = {"DATABASE_URL": self._site.url, "RETRY_DELAYS": "0.1,0.2,0.3", **env}
        return self._processes.start(command, env=settings)


@pytest.fixture
def workers(processes: Processes, site: Site) -> Workers:
    """Real worker processes on `site`; a silent one is taken for dead after two seconds."""
    site.shorten_lease(seconds=2)
    return Workers(processes, site)
