"""The whole job, from a track's row to its bytes and back, in databases of many kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import procrastinate.schema
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.environments.team import Kind, Start, basic_flow
from tests.support.databases import PostgresServer
from tests.support.supabase import set_up

OWN_TRACKS = """
create table public.tracks (
    id uuid primary key, user_id uuid, title text, provider text, status text,
    audio_url text, cover_url text, video_url text, created_at timestamptz default now()
);
"""

WEIRD_PATH = Kind(
    setup="create schema weird; create table weird.tracks (id int);"
    "alter database {database} set search_path = 'weird'"
)

# Times without zone are UTC, whatever the zone of the session that reads or writes them.
LOCAL_TIME = Kind(
    setup=OWN_TRACKS.replace("timestamptz", "timestamp")
    + "alter database {database} set timezone = 'Asia/Tokyo'",
    now="(now() at time zone 'UTC')",
)

# A team's own types, a column that must be given, triggers that write and that look.
OWN_TYPES = Kind(
    setup="""
    create type public.state as enum ('queued', 'completed', 'failed');
    create domain public.link as text check (value like 'http%');
    create table public.tracks (
        id uuid primary key, user_id uuid, title varchar(80), provider varchar(20),
        status public.state, audio_url public.link, cover_url public.link, video_url public.link,
        created_at timestamptz, mood text not null, touched timestamptz not null default now()
    );
    create table public.history (track uuid, mood text not null);
    create function public.touch() returns trigger language plpgsql as $$
    begin
        new.touched := clock_timestamp();
        insert into public.history values (new.id, new.mood);
        return new;
    end $$;
    create trigger touch before insert or update on public.tracks
        for each row execute function public.touch();
    """,
    columns={"mood": "blue"},
)

STRICT = Kind(
    setup="alter database {database} set default_transaction_isolation = 'serializable';"
    "alter database {database} set standard_conforming_strings = off"
)

READ_ONLY = Kind(
    setup="alter database {database} set default_transaction_read_only = on",
    session="set default_transaction_read_only = off",
)

# The team's tables have row-level security, and the worker's login is in the group and no more.
MEMBER = Kind(
    setup=f"""
    alter database {{database}} owner to studio;
    set role studio;
    {OWN_TRACKS}
    alter table public.tracks enable row level security;
    grant select, insert, update, delete on public.tracks to app;
    create policy app on public.tracks to app using (true) with check (true);
    """,
    owner="studio",
    application="app",
    worker="member",
)

SUPABASE = Kind(
    owner="team",
    application="authenticator",
    session="set role service_role",
    worker="member",
    users=True,
)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(Kind(), id="plain"),
        pytest.param(WEIRD_PATH, id="search path"),
        pytest.param(LOCAL_TIME, id="local time"),
        pytest.param(OWN_TYPES, id="own types and triggers"),
        pytest.param(STRICT, id="serializable"),
        pytest.param(READ_ONLY, id="read only"),
    ],
)
def test_everything_works_with(kind: Kind, empty_database: str, start: Start) -> None:
    basic_flow(start(empty_database, _named(kind, empty_database)))


def test_everything_works_beside_a_procrastinate_of_the_teams_own(
    empty_database: str, start: Start
) -> None:
    theirs = procrastinate.schema.SchemaManager.get_schema()
    team = start(empty_database, Kind(setup=theirs))
    basic_flow(team)
    assert team.look.execute("select from public.procrastinate_jobs").fetchall() == []


def test_everything_works_for_a_login_that_is_a_mere_member(
    own_database: str, start: Start
) -> None:
    basic_flow(start(own_database, _named(MEMBER, own_database)))


def test_everything_works_on_supabase(own_database: str, start: Start) -> None:
    set_up(own_database)
    basic_flow(start(own_database, SUPABASE))


def test_everything_works_on_supabase_with_tracks_of_the_teams_own(
    own_database: str, start: Start
) -> None:
    set_up(own_database)
    own = "alter table public.tracks enable row level security;"
    kind = replace(SUPABASE, setup=f"set role team; {OWN_TRACKS} {own}")
    basic_flow(start(own_database, kind))


@pytest.fixture
def own_database(own_server: PostgresServer) -> Iterator[str]:
    with own_server.fresh_database() as url:
        yield url


def _named(kind: Kind, url: str) -> Kind:
    database = str(conninfo_to_dict(url)["dbname"])
    return replace(kind, setup=kind.setup.replace("{database}", database))
