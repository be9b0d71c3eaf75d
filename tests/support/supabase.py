"""A database as Supabase sets it up: its roles, and what they are granted by default."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support.databases import PostgresServer, changed_url

# Roles belong to the server: they are made once on a server of their own.
ROLES = """
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role team login createrole createdb bypassrls;
"""
DATABASE = """
alter database {database} owner to team;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role team in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role team in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role team in schema public
    grant all on sequences to anon, authenticated, service_role;
"""


def create_roles(server: PostgresServer) -> None:
    """Make Supabase's roles on a server that has none of them."""
    _run(server.url, ROLES)


def set_up(url: str) -> str:
    """Set up an empty database, and return its URL for its owner, who is no superuser."""
    _run(url, DATABASE.format(database=conninfo_to_dict(url)["dbname"]))
    return changed_url(url, user="team")


def authenticator(url: str) -> str:
    """The URL with which requests of users come in."""
    return changed_url(url, user="authenticator")


def _run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())
