from __future__ import annotations

import os
from typing import LiteralString

import psycopg
import pytest

from tests.support.databases import PostgresServer, migrate


def test_an_empty_database_has_no_tables(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        count = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
        assert connection.execute(count).fetchone() == (0,)


def test_a_clone_has_what_its_template_has_and_keeps_its_own_rows(
    postgres_server: PostgresServer,
) -> None:
    with postgres_server.fresh_database() as template:
        run(template, "create table kept as select 1 as n")
        name = psycopg.conninfo.conninfo_to_dict(template)["dbname"]
        with postgres_server.fresh_database(template=str(name)) as clone:
            run(clone, "insert into kept values (2)")
            assert count(clone) == 2
            assert count(template) == 1


def test_a_database_goes_although_somebody_is_connected(postgres_server: PostgresServer) -> None:
    with postgres_server.fresh_database() as url:
        connection = psycopg.connect(url)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_a_migrated_database_refuses_nothing_on_being_migrated_again(database: str) -> None:
    before = schemas(database)
    assert "media_worker" in before
    migrate(database)
    assert schemas(database) == before


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="a server of our own only")
def test_the_server_is_postgresql_18(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url) as connection:
        assert connection.info.server_version // 10000 == 18


def run(url: str, statement: LiteralString) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from kept").fetchone()
        assert row
        return int(row[0])


def schemas(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select nspname from pg_namespace order by 1").fetchall()
        return [name for (name,) in rows]
