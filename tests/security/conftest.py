"""A migrated database as on Supabase, and people who ask for things in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.databases import PostgresServer, changed_url, migrate
from tests.support.supabase import authenticator, create_roles, set_up
from worker.demo.embedded import EmbeddedPostgres

Row = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """The database as its superuser, its owner and the users' requests reach it."""

    url: str
    owner_url: str
    superuser: psycopg.Connection[Row]
    requests: psycopg.Connection[Row]

    def sql(self, query: str, *params: Any) -> list[Row]:
        """As the superuser."""
        return _execute(self.superuser, query, params)

    def ask(
        self,
        query: str,
        *params: Any,
        user: UUID | None = None,
        role: str = "authenticated",
        claims: str | None = None,
    ) -> list[Row]:
        """As a request of `user` does it; `claims` instead are whatever was sent."""
        sent = json.dumps({"sub": str(user), "role": role}) if user else claims
        with self.requests.transaction():
            self.requests.execute(f"set local role {role}".encode())
            if sent is not None:
                self.requests.execute("select set_config('request.jwt.claims', %s, true)", [sent])
            return _execute(self.requests, query, params)

    def insert_track(self, user: UUID | None, *, age: str = "1 hour") -> UUID:
        """A completed track that is not due, unless it is old."""
        track = uuid4()
        self.sql(
            "insert into public.tracks"
            " (id, user_id, title, provider, status, audio_url, created_at)"
            " values (%s, %s, 'Song', 'suno', 'completed', 'https://provider.test/a.mp3',"
            " now() - %s::interval)",
            track,
            user,
            age,
        )
        return track

    def job(self, track: UUID) -> Row | None:
        rows = self.sql("select * from public.track_archiving_jobs where track_id = %s", track)
        return rows[0] if rows else None


@pytest.fixture(scope="session")
def supabase_server() -> Iterator[PostgresServer]:
    with EmbeddedPostgres(for_tests=True) as embedded:
        server = PostgresServer(embedded.url, embedded=embedded)
        create_roles(server)
        yield server


@pytest.fixture(scope="session")
def migrated_site(supabase_server: PostgresServer) -> Iterator[tuple[str, str]]:
    """The superuser's URL and the owner's."""
    with supabase_server.fresh_database() as url:
        owner_url = set_up(url)
        migrate(owner_url)
        yield url, owner_url


@pytest.fixture
def site(migrated_site: tuple[str, str]) -> Iterator[Site]:
    """One database for all tests: each takes users and tracks of its own."""
    url, owner_url = migrated_site
    with _connect(url) as superuser, _connect(authenticator(url)) as requests:
        yield Site(url, owner_url, superuser, requests)


@pytest.fixture
def alice() -> UUID:
    return uuid4()


@pytest.fixture
def bob() -> UUID:
    return uuid4()


@pytest.fixture
def stranger(site: Site) -> Iterator[str]:
    """The URL of a login with nothing but what everybody may do."""
    name = f"stranger_{uuid4().hex[:12]}"
    site.sql(f"create role {name} login")
    yield changed_url(site.url, user=name)
    site.sql(f"drop owned by {name} cascade")
    site.sql(f"drop role {name}")


def _connect(url: str) -> psycopg.Connection[Row]:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def _execute(connection: psycopg.Connection[Row], query: str, params: tuple[Any, ...]) -> list[Row]:
    cursor = connection.execute(query.encode(), params or None)
    return cursor.fetchall() if cursor.description is not None else []
