"""Who may do what, of everything that is ours: exactly this, and nothing besides."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.databases import PostgresServer, migrate
from tests.support.supabase import create_roles, set_up
from worker.demo.embedded import EmbeddedPostgres

SERVICE = {"service_role", "media_worker"}
USERS = {"authenticated"}
INDEXED = {"PUBLIC", "media_worker"}
READ = {"SELECT"}
WRITE = {"SELECT", "INSERT", "UPDATE", "DELETE"}

# Whoever may call them. All other functions: the worker in media_worker, nobody in public.
FUNCTIONS = {
    "public.pause_queue(text,timestamp with time zone)": SERVICE,
    "public.resume_queue(text)": SERVICE,
    "public.retry_failed(text)": SERVICE,
    "public.schedule_track_archiving()": set(),
    "public.get_tracks_needing_archiving(integer)": SERVICE,
    "public.archive_track(uuid,boolean)": SERVICE,
    "public.archive_tracks(integer)": SERVICE,
    "public.mark_track_archived(uuid,text,text,text)": SERVICE,
    "public.get_track_processing_status(uuid)": SERVICE | USERS,
    "public.sync_to_cdn(text,text,text,text)": SERVICE,
    "public.sync_tracks_to_cdn(text[],text)": SERVICE,
    "public.backfill_cdn(integer)": SERVICE,
    "public.retry_failed_cdn_syncs()": SERVICE,
    "public.get_cleanup_queue_stats()": SERVICE,
    "public.process_cleanup_queue(integer,boolean)": SERVICE,
    "public.release_deletions()": SERVICE,
    "public.request_media_sync(boolean,integer,text)": SERVICE,
    "public.get_media_statistics()": SERVICE,
    "public.list_media(integer,integer,text,text,text[],text)": SERVICE,
    "public.cleanup_old_sync_logs(integer)": SERVICE,
    "media_worker.archive_figures()": SERVICE,
    "media_worker.cdn_figures()": SERVICE,
    "media_worker.sync_figures()": SERVICE,
    "media_worker.queue_figures()": SERVICE,
    "media_worker.worker_figures()": SERVICE,
    "media_worker.is_trusted_caller()": SERVICE,
    "media_worker.current_user_id()": SERVICE | USERS,
    **dict.fromkeys(
        (
            "media_worker.asset_key(text,text,text)",
            "media_worker.plain(anyelement)",
            "media_worker.folder_key(text)",
            "media_worker.asset_words(text,text,text[])",
            "media_worker.tag_keys(text[])",
        ),
        INDEXED,
    ),
}

# Tables and views in public, all of them.
RELATIONS = {
    "public.archive_policies": (WRITE, set()),
    "public.track_archiving_jobs": (WRITE, READ),
    "public.storage_cleanup_queue": (WRITE, set()),
    "public.cdn_sync_jobs": (WRITE, set()),
    "public.cloudinary_cleanup_queue": (WRITE, set()),
    "public.media_files": (WRITE, READ),
    "public.media_file_tags": (WRITE, READ),
    "public.media_file_usage": (WRITE, READ),
    "public.media_sync_runs": (WRITE, set()),
    "public.media_sync_log": (WRITE, set()),
    "public.media_webhook_events": (WRITE, set()),
    "public.media_sync_status": (READ, set()),
    "public.media_assets": (WRITE, READ),
    "public.media_usage": (WRITE, READ),
    "public.media_collections": (WRITE, READ),
    "public.media_collection_items": (WRITE, READ),
    "public.audio_tracks": (WRITE, set()),
    "public.tracks": (WRITE, READ),
    "public.notifications": (WRITE, READ),
    "public.archive_statistics": (READ, set()),
    "public.track_playback": (READ, READ),
    "public.cdn_sync_status": (READ, set()),
    "public.cdn_statistics": (READ, set()),
    "public.queue_health": (READ, set()),
    "public.worker_status": (READ, set()),
}
COLUMNS = {
    ("public.track_archiving_jobs", "track_id", "authenticated", "INSERT"),
    ("public.track_archiving_jobs", "user_id", "authenticated", "INSERT"),
    ("public.notifications", "read_at", "authenticated", "UPDATE"),
}
POLICIES = {
    "public.archive_policies": {"media_worker_service"},
    "public.track_archiving_jobs": {
        "media_worker_service", "media_worker_own_select", "media_worker_own_insert",
    },
    "public.storage_cleanup_queue": {"media_worker_service"},
    "public.cdn_sync_jobs": {"media_worker_service"},
    "public.cloudinary_cleanup_queue": {"media_worker_service"},
    "public.media_files": {"media_worker_service", "media_worker_own_select"},
    "public.media_file_tags": {"media_worker_service", "media_worker_own_select"},
    "public.media_file_usage": {"media_worker_service", "media_worker_own_select"},
    "public.media_sync_runs": {"media_worker_service"},
    "public.media_sync_log": {"media_worker_service"},
    "public.media_webhook_events": {"media_worker_service"},
    "public.media_assets": {"media_worker_service", "media_worker_own_select"},
    "public.media_usage": {"media_worker_service", "media_worker_own_select"},
    "public.media_collections": {"media_worker_service", "media_worker_own_select"},
    "public.media_collection_items": {"media_worker_service", "media_worker_own_select"},
    "public.audio_tracks": {"media_worker_service"},
    "public.tracks": {"media_worker_service", "media_worker_own_select"},
    "public.notifications": {
        "media_worker_service", "media_worker_own_select", "media_worker_own_update",
    },
}  # fmt: skip

Grants = dict[str, dict[str, set[str]]]


@pytest.fixture(
    scope="module", params=["roles before", "roles later", "roles made anew", "no roles"]
)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that was migrated before, after or without the making of Supabase's roles."""
    with EmbeddedPostgres(for_tests=True) as embedded:
        server = PostgresServer(embedded.url, embedded=embedded)
        with server.fresh_database() as url:
            _migrate(server, url, request.param)
            yield url


def _migrate(server: PostgresServer, url: str, when: str) -> None:
    if when in ("roles before", "roles made anew"):
        create_roles(server)
        migrate(set_up(url))
    if when == "roles made anew":
        _rows(url, "drop owned by anon, authenticated, service_role cascade")
        _rows(url, "drop role authenticated, anon, service_role")
        _rows(url, "create role authenticated; create role anon; create role service_role")
    if when in ("roles later", "no roles"):
        migrate(url)
    if when == "roles later":
        create_roles(server)
    migrate(url)


def test_functions_are_granted_as_listed(url: str) -> None:
    found = _found(url, _FUNCTIONS)
    expected = {
        name: FUNCTIONS.get(name, {"media_worker"} if name.startswith("media_worker.") else None)
        for name in found
    }
    known = _roles(url)
    assert {name: set(grants) for name, grants in found.items()} == {
        name: roles if roles is None else roles & known for name, roles in expected.items()
    }
    assert set(FUNCTIONS) <= set(found)
    assert all(granted == {"EXECUTE"} for grants in found.values() for granted in grants.values())


def test_tables_and_views_are_granted_as_listed(url: str) -> None:
    known = _roles(url)
    expected: Grants = {}
    for name in _found(url, _RELATIONS):
        service, users = RELATIONS.get(name, (set(), set()))
        roles = {role: service for role in SERVICE} | {role: users for role in USERS}
        if name.startswith("media_worker."):
            roles = {"media_worker": READ}
        expected[name] = {role: set(x) for role, x in roles.items() if x and role in known}
    found = _found(url, _RELATIONS)
    assert found == expected
    assert {name for name in found if name.startswith("public.")} == set(RELATIONS)


def test_columns_are_granted_as_listed(url: str) -> None:
    known = _roles(url)
    assert set(_rows(url, _COLUMNS)) == {grant for grant in COLUMNS if grant[2] in known}


def test_sequences_are_granted_to_nobody(url: str) -> None:
    assert set(map(str, _found(url, _SEQUENCES).values())) <= {"{}"}
    assert _found(url, _SEQUENCES)


def test_private_schemas_are_open_to_the_worker_alone(url: str) -> None:
    assert _found(url, _SCHEMAS) == {
        "media_worker": {"media_worker": {"USAGE"}},
        "procrastinate": {"media_worker": {"USAGE"}},
    }
    assert {role for grants in _found(url, _QUEUE).values() for role in grants} == {"media_worker"}


def test_every_table_has_row_level_security(url: str) -> None:
    assert _rows(url, _UNSECURED) == []
    found: dict[str, set[str]] = {}
    for table, policy in _rows(url, _POLICIES):
        found.setdefault(table, set()).add(policy)
    users = {"media_worker_own_select", "media_worker_own_insert", "media_worker_own_update"}
    without = set() if "authenticated" in _roles(url) else users
    assert found == {table: policies - without for table, policies in POLICIES.items()}


def test_views_run_with_the_rights_of_who_asks(url: str) -> None:
    query = "select relname::text from pg_class where relkind = 'v'"
    query += " and relnamespace = 'public'::regnamespace"
    query += " and not 'security_invoker=true' = any (coalesce(reloptions, '{}'))"
    assert _rows(url, query) == []


def test_no_function_can_be_led_astray(url: str) -> None:
    """Its search path is fixed, and the temporary schema comes last in it."""
    paths = dict(_rows(url, _SEARCH_PATHS))
    assert set(paths.values()) == {
        "search_path=pg_catalog, pg_temp", "search_path=procrastinate, pg_temp",
    }  # fmt: skip
    assert len(paths) > 50


def _found(url: str, query: str) -> Grants:
    """{object: {role: privileges}}; of an object that is granted to nobody an empty dict."""
    found: Grants = {}
    for name, role, privilege in _rows(url, query):
        grants = found.setdefault(name, {})
        if role is not None:
            grants.setdefault(role, set()).add(privilege)
    return found


def _roles(url: str) -> set[str]:
    return {"PUBLIC", *(name for (name,) in _rows(url, "select rolname::text from pg_roles"))}


def _rows(url: str, query: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set search_path = ''")
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


_ROLE = "case g.grantee when 0 then 'PUBLIC' else g.grantee::regrole::text end"
_FUNCTIONS = f"""
select p.pronamespace::regnamespace || '.' || p.proname || '(' || coalesce((
        select string_agg(format_type(a.t, null), ',' order by a.n)
        from unnest(p.proargtypes) with ordinality as a(t, n)), '') || ')', {_ROLE},
    g.privilege_type
from pg_proc p
left join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
    on g.grantee <> p.proowner
where p.pronamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
"""
_RELATIONS = f"""
select c.oid::regclass::text, {_ROLE}, g.privilege_type
from pg_class c
left join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g
    on g.grantee <> c.relowner
where c.relkind in ('r', 'p', 'v', 'm')
    and c.relnamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
"""
_SEQUENCES = _RELATIONS.replace("('r', 'p', 'v', 'm')", "('S')").replace("'r', c", "'s', c")
_COLUMNS = f"""
select c.oid::regclass::text, a.attname::text, {_ROLE}, g.privilege_type
from pg_attribute a
join pg_class c on c.oid = a.attrelid
cross join lateral aclexplode(a.attacl) g
where c.relnamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
"""
_SCHEMAS = f"""
select n.nspname::text, {_ROLE}, g.privilege_type
from pg_namespace n
left join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
    on g.grantee <> n.nspowner
where n.nspname in ('media_worker', 'procrastinate')
"""
_QUEUE = " union all ".join(
    query.replace(
        "in ('public'::regnamespace, 'media_worker'::regnamespace)",
        "= 'procrastinate'::regnamespace",
    )
    for query in (_FUNCTIONS, _RELATIONS, _SEQUENCES)
)
_UNSECURED = """
select c.oid::regclass::text from pg_class c
where c.relkind in ('r', 'p') and not c.relrowsecurity
    and c.relnamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
"""
_POLICIES = """
select polrelid::regclass::text, polname::text from pg_policy p
join pg_class c on c.oid = p.polrelid where c.relnamespace = 'public'::regnamespace
"""
_SEARCH_PATHS = """
select p.oid::regprocedure::text, setting from pg_proc p cross join unnest(p.proconfig) as setting
where setting like 'search_path=%'
    and p.pronamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
union all
select p.oid::regprocedure::text, 'none' from pg_proc p
where p.prosecdef and p.pronamespace in ('public'::regnamespace, 'media_worker'::regnamespace)
    and not coalesce(p.proconfig::text, '') ~ 'search_path'
"""
