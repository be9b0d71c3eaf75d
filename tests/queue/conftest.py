"""A database that holds procrastinate's schema and nothing else."""

from __future__ import annotations

import psycopg
import pytest
from procrastinate.schema import SchemaManager

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
