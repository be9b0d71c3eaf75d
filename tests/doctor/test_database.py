"""Findings about the database and what is installed in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.archive.conftest import Archive
from tests.doctor.conftest import Examine
from tests.support.databases import migrate
from tests.support.pgbouncer import pgbouncer, pgbouncer_is_there
from worker.db.pool import Database
from worker.doctor.database import check_clock
from worker.doctor.model import Finding

Sick = Callable[..., list[Finding]]


def role_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["user"])


def test_healthy_installation_has_no_complaint(sick: Sick) -> None:
    assert sick() == []


def test_missing_schema_is_mended_by_migrate_and_by_fix(look: Examine, empty_database: str) -> None:
    env = {"DATABASE_URL": empty_database}
    errors = [finding for finding in look(env) if finding.level == "error"]
    assert [(each.what, each.mend) for each in errors] == [
        ("the schema is missing", "media-worker migrate")
    ]
    assert not [finding for finding in look(env, fix=True) if finding.level == "error"]
    assert not [finding for finding in look(env) if finding.level == "error"]


def test_old_schema_is_told(archive: Archive, sick: Sick) -> None:
    archive.sql("update media_worker.migrations set sha256 = 'old' where kind = 'repeatable'")
    (finding,) = sick()
    assert (finding.what, finding.mend) == ("the schema is old", "media-worker migrate")
    assert sick(fix=True) == []


def test_member_of_the_role_can_do_everything(archive: Archive, login: str, sick: Sick) -> None:
    archive.sql(f"grant media_worker to {role_of(login)}")
    assert sick(DATABASE_URL=login) == []


def test_login_that_is_no_member_is_told_the_grant(login: str, sick: Sick) -> None:
    (finding,) = sick(DATABASE_URL=login)
    assert finding.level == "error"
    assert finding.mend == f"grant media_worker to {role_of(login)}"


def test_named_grant_mends_the_membership(archive: Archive, login: str, sick: Sick) -> None:
    (finding,) = sick(DATABASE_URL=login)
    archive.sql(finding.mend)
    assert sick(DATABASE_URL=login) == []


def test_membership_without_inheritance_is_told(archive: Archive, login: str, sick: Sick) -> None:
    archive.sql(f"grant media_worker to {role_of(login)} with inherit false")
    (finding,) = sick(DATABASE_URL=login)
    assert "does not inherit" in finding.what
    archive.sql(finding.mend)
    assert sick(DATABASE_URL=login) == []


def test_right_that_was_taken_away_is_told(archive: Archive, login: str, sick: Sick) -> None:
    archive.sql(f"grant media_worker to {role_of(login)}")
    archive.sql("revoke insert on procrastinate.procrastinate_jobs from media_worker")
    (finding,) = sick(DATABASE_URL=login)
    assert "table procrastinate.procrastinate_jobs" in finding.what
    archive.sql(finding.mend)
    assert sick(DATABASE_URL=login) == []


@pytest.mark.parametrize("forced", [False, True])
def test_row_level_security_that_blinds_the_worker_is_told(
    archive: Archive, login: str, sick: Sick, forced: bool
) -> None:
    owner = role_of(login)
    archive.sql("alter table tracks enable row level security")
    for row in archive.sql(
        "select oid::regprocedure as name from pg_proc where proname = 'claim'"
        " and pronamespace = 'media_worker'::regnamespace"
    ):
        archive.sql(f"alter function {row['name']} owner to {owner}")
    if forced:
        archive.sql("alter table tracks force row level security")
        archive.sql(f"alter table tracks owner to {owner}")
    findings = [finding for finding in sick() if "public.tracks" in finding.what]
    (finding,) = findings
    assert (finding.level, "row-level security" in finding.what) == ("error", True)
    assert f"alter role {owner} bypassrls" in finding.mend
    assert ("no force row level security" in finding.mend) == forced


def test_notifications_of_another_shape_are_told(look: Examine, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create table notifications (id uuid primary key, user_id integer)")
    migrate(empty_database)
    told = [one for one in look({"DATABASE_URL": empty_database}) if "notifications" in one.what]
    (finding,) = told
    assert finding.level == "warning"
    assert "user_id" in finding.what
    assert "media-worker migrate" in finding.mend


def test_missing_trigger_is_put_back_by_fix(archive: Archive, sick: Sick) -> None:
    archive.sql("drop trigger zz_media_worker_schedule_insert on tracks")
    (finding,) = sick()
    assert (finding.level, finding.mend) == ("error", "media-worker migrate")
    assert finding.what == "the trigger zz_media_worker_schedule_insert on public.tracks is missing"
    assert sick(fix=True) == []
    assert sick() == []


@pytest.mark.parametrize(
    ("table", "trigger"),
    [
        ("tracks", "zz_media_worker_archive_update"),
        ("track_archiving_jobs", "zz_media_worker_wake_insert"),
    ],
)
def test_disabled_trigger_is_told(archive: Archive, sick: Sick, table: str, trigger: str) -> None:
    archive.sql(f"alter table {table} disable trigger {trigger}")
    (finding,) = sick()
    assert finding.level == "error"
    assert "disabled" in finding.what
    archive.sql(finding.mend)
    assert sick() == []


def test_missing_trigger_of_a_work_table_is_mended_by_what_is_named(
    archive: Archive, sick: Sick
) -> None:
    archive.sql("drop trigger zz_media_worker_wake_update on storage_cleanup_queue")
    (finding,) = sick()
    archive.sql(finding.mend)
    assert sick() == []


def test_lost_table_is_told(archive: Archive, sick: Sick) -> None:
    archive.sql("drop table notifications")
    (finding,) = sick()
    assert (finding.level, finding.what) == ("error", "the table public.notifications is gone")


async def test_clocks_that_differ_are_told(database: str) -> None:
    server = Database(database, size=1)
    try:
        assert await check_clock(server) == []
        (finding,) = await check_clock(server, now=lambda: time.time() - 120)
    finally:
        await server.close()
    assert finding.level == "warning"
    assert "120 s apart" in finding.what


@pytest.mark.skipif(not pgbouncer_is_there(), reason="PgBouncer is not installed")
def test_pooler_is_worth_a_note(archive: Archive, sick: Sick, tmp_path: Path) -> None:
    with pgbouncer(archive.url, tmp_path) as pooled:
        (finding,) = sick(DATABASE_URL=pooled)
    assert finding.level == "note"
    assert "pooler" in finding.what
