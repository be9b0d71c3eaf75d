"""Logins that make objects of their own: none of it runs with the rights of our functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest

from tests.security.conftest import Site

REFUSED = psycopg.errors.InsufficientPrivilege
STATUS = "select public.get_track_processing_status(%s)"

# What leaves a mark if it is run by somebody else than who made it.
TRAP = """
create function pg_temp.spring() returns boolean language plpgsql as $$
begin
    if current_user <> session_user and current_user <> 'authenticated' then
        raise exception 'sprung as %', current_user;
    end if;
    return true;
end $$;
"""


@pytest.fixture
def login(stranger: str, site: Site) -> Iterator[psycopg.Connection]:
    """A login that is a user too, and may make objects in a schema of its own."""
    with psycopg.connect(stranger, autocommit=True) as connection:
        name = connection.info.user
        site.sql(f"grant authenticated to {name} with inherit true")
        site.sql(f"create schema {name} authorization {name}")
        connection.execute(TRAP.encode())
        yield connection


def types(schema: str) -> str:
    """Types of everyday names whose checks spring the trap."""
    return "".join(
        f"create domain {schema}.{name} as pg_catalog.{name} check (pg_temp.spring());"
        for name in ("uuid", "text", "jsonb", "timestamptz", "regclass", "oid", "bool", "int4")
    )


def relations(schema: str) -> str:
    """Tables of our names and of the catalog's."""
    return "".join(
        f"create {'temp' if schema == 'pg_temp' else ''} view {schema}.{name} as"
        " select pg_temp.spring() as sprung, gen_random_uuid() as id, gen_random_uuid() as user_id;"
        for name in ("tracks", "track_archiving_jobs", "pg_roles", "procrastinate_jobs")
    )


def operators(schema: str) -> str:
    """Functions and operators that fit better than the catalog's own."""
    return f"""
    create function {schema}.same(a pg_catalog.uuid, b pg_catalog.uuid) returns boolean
        language sql as 'select pg_temp.spring()';
    create operator {schema}.= (leftarg = uuid, rightarg = uuid, function = {schema}.same);
    create function {schema}.differ(a pg_catalog.text, b pg_catalog.text) returns boolean
        language sql as 'select pg_temp.spring()';
    create operator {schema}.<> (leftarg = text, rightarg = text, function = {schema}.differ);
    create function {schema}.jsonb_build_object(variadic a pg_catalog.text[]) returns jsonb
        language sql as 'select pg_temp.spring()::int::text::jsonb';
    create function {schema}.now() returns timestamptz
        language sql as 'select pg_temp.spring(), now()';
    """.replace("select pg_temp.spring(), now()", "select null::timestamptz")


Objects = Callable[[str], str]


@pytest.mark.parametrize("objects", [types, relations, operators])
@pytest.mark.parametrize("schema", ["pg_temp", "own"])
def test_own_objects_change_nothing_in_what_our_functions_do(
    site: Site, login: psycopg.Connection, alice: UUID, objects: Objects, schema: str
) -> None:
    name = login.info.user if schema == "own" else schema
    track, due = site.insert_track(alice), site.insert_track(alice, age="14 days")
    login.execute(objects(name).encode())
    login.execute(f"set search_path = {name}, pg_catalog, public".encode())
    login.execute("select pg_catalog.set_config('request.jwt.claims', %s, false)", [claims(alice)])
    login.execute(
        "insert into public.track_archiving_jobs (track_id, user_id)"
        f" values ('{track}', '{alice}')".encode()
    )
    assert site.job(track) is not None
    [[told]] = login.execute(
        f"select public.get_track_processing_status('{due}')::pg_catalog.text".encode()
    )
    assert str(due) in told
    [[seen]] = login.execute("select pg_catalog.count(*) from public.tracks")
    assert seen == 2


def test_the_trap_would_spring(site: Site, login: psycopg.Connection) -> None:
    site.sql(
        "create or replace function public.careless(a uuid) returns text language plpgsql"
        " security definer set search_path = '' as $$ begin return a::text::uuid; end $$"
    )
    login.execute(types("pg_temp").encode())
    with pytest.raises(psycopg.errors.RaiseException, match="sprung as postgres"):
        login.execute("select public.careless(pg_catalog.gen_random_uuid())")
    site.sql("drop function public.careless")


@pytest.mark.parametrize("role", ["service_role", "media_worker", "team", "postgres"])
def test_nobody_can_pretend_to_be_somebody_trusted(
    site: Site, login: psycopg.Connection, alice: UUID, role: str
) -> None:
    track = site.insert_track(alice)
    for statement in (f"set role {role}", f"set local role {role}",
                      f"select set_config('role', '{role}', false)",
                      f"set session authorization {role}"):  # fmt: skip
        with pytest.raises(REFUSED):
            login.execute(statement.encode())
    assert login.execute(STATUS, [track]).fetchone() == (None,)


@pytest.mark.parametrize("role", ["service_role", "media_worker"])
def test_a_function_with_a_role_of_its_own_is_refused(
    site: Site, login: psycopg.Connection, alice: UUID, role: str
) -> None:
    track = site.insert_track(alice)
    with pytest.raises(REFUSED):
        login.execute(
            f"create function {login.info.user}.peek(t uuid) returns jsonb language sql"
            f" set role = {role}"
            " as 'select public.get_track_processing_status(t)'".encode()
        )
        login.execute(f"select {login.info.user}.peek(%s)".encode(), [track])


def test_a_function_that_runs_as_its_owner_lends_no_trust(
    site: Site, login: psycopg.Connection, alice: UUID
) -> None:
    """A team's own definer function, called by a user, is that user's question."""
    track = site.insert_track(alice)
    site.sql(
        "create or replace function public.status_of(t uuid) returns jsonb language sql"
        " security definer set search_path = '' as 'select public.get_track_processing_status(t)'"
    )
    login.execute("set role authenticated")
    assert login.execute("select public.status_of(%s)", [track]).fetchone() == (None,)
    site.sql("drop function public.status_of")


def test_a_login_without_any_role_can_do_nothing(stranger: str, site: Site, alice: UUID) -> None:
    track = site.insert_track(alice)
    with psycopg.connect(stranger, autocommit=True) as connection:
        for statement in (
            "select from public.tracks",
            "select from public.track_playback",
            "select from media_worker.migrations",
            "select from procrastinate.procrastinate_jobs",
            f"select public.get_track_processing_status('{track}')",
            f"insert into public.track_archiving_jobs (track_id) values ('{track}')",
            "create table procrastinate.mine ()",
            "create table media_worker.mine ()",
        ):
            with pytest.raises(REFUSED):
                connection.execute(statement.encode())


def claims(user: UUID) -> str:
    return f'{{"sub": "{user}"}}'
