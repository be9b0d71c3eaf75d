"""A media_assets that was there before, with types of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from worker.db.migrator import Migrator
from worker.db.plan import MigrationRefused

TABLE = """
    create type kind as enum ('image', 'video', 'raw');
    create type delivery as enum ('upload', 'private', 'authenticated');
    create type how_far as enum ('pending', 'synced', 'error');
    create table media_assets (
        id uuid primary key default gen_random_uuid(), public_id varchar(255) not null,
        resource_type kind not null default 'image', type delivery not null default 'upload',
        tags varchar[], context json, bytes integer, duration numeric, created_at timestamp,
        updated_at timestamp, sync_status how_far not null default 'pending', deleted_at timestamp,
        last_synced_at timestamp
    );
    insert into media_assets (public_id, tags, context) values ('old', '{x}', '{"k": "v"}');
"""
FOUND = {
    "asset_id": "1", "public_id": "old", "resource_type": "image", "type": "upload",
    "version": 7, "tags": ["x"], "context": {"k": "v"}, "bytes": 3, "duration": 1.5,
    "created_at": "2020-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ("('a', null, null), ('a', null, null), ('b', null, now()), ('b', null, now())",
         "public_id, resource_type, type"),
        ("('a', '1', null), ('b', '1', now())", "asset_id"),
    ],
)  # fmt: skip
def test_rows_that_are_there_twice_stop_the_migration_before_it_begins(
    empty_database: str, rows: str, columns: str
) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(TABLE.encode())
        connection.execute("alter table media_assets add asset_id text")
        insert = f"insert into media_assets (public_id, asset_id, deleted_at) values {rows}"
        connection.execute(insert.encode())
        with pytest.raises(MigrationRefused) as refused:
            Migrator(empty_database).apply()
        (problem,) = refused.value.problems
        assert f"the same {columns} (1 cases)" in problem
        listed = connection.execute(problem.split("`")[1].encode()).fetchall()
        assert len(listed) == 1
        assert connection.execute("select to_regnamespace('media_worker')").fetchone() == (None,)


@pytest.fixture
def warnings() -> list[str]:
    """What triggers could not do."""
    return []


@pytest.fixture
def team(empty_database: str, warnings: list[str]) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    def note(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(str(notice.message_primary))

    with psycopg.connect(empty_database, autocommit=True, row_factory=dict_row) as connection:
        connection.add_notice_handler(note)
        connection.execute(TABLE.encode())
        Migrator(empty_database).apply()
        yield connection
    assert warnings == []


def test_its_rows_are_mirrored_all_the_same(
    team: psycopg.Connection[dict[str, Any]],
) -> None:
    team.execute("set timezone = 'Asia/Tokyo'")
    found = [FOUND, FOUND | {"asset_id": "2", "public_id": "new", "resource_type": "video"}]
    mirror = "select media_worker.mirror_assets(%s, clock_timestamp(), 'newest', 'full_sync') as p"
    plan = team.execute(mirror, (Jsonb(found),)).fetchall()[0]["p"]
    assert [each["action"] for each in plan] == ["update", "insert"]
    rows = {row["public_id"]: row for row in team.execute("select * from media_assets")}
    assert (rows["old"]["version"], rows["old"]["sync_status"]) == (7, "synced")
    new = rows["new"]
    assert (new["resource_type"], new["tags"], new["context"]) == ("video", ["x"], {"k": "v"})
    assert new["created_at"].isoformat() == "2020-01-01T00:00:00"
    again = team.execute(mirror, (Jsonb(found),)).fetchall()[0]["p"]
    assert [each["action"] for each in again] == ["unchanged", "unchanged"]


def test_the_application_s_changes_are_noticed(team: psycopg.Connection[dict[str, Any]]) -> None:
    team.execute("update media_assets set tags = '{y}'")
    team.execute("insert into media_assets (public_id) values ('another')")
    pushes = team.execute("select count(*) as n from media_worker.asset_pushes").fetchone()
    assert pushes == {"n": 2}
    team.execute("select list_media(search => 'old', tags => '{y}', resource_type => 'image')")
    team.execute("update media_assets set deleted_at = now()")
    team.execute("delete from media_assets")
    deletions = team.execute("select count(*) as n from cloudinary_cleanup_queue").fetchone()
    assert deletions == {"n": 2}


def test_rows_that_say_nothing_of_their_kind_are_of_the_usual_one(
    team: psycopg.Connection[dict[str, Any]],
) -> None:
    team.execute("alter table media_assets alter column resource_type drop not null")
    team.execute("alter table media_assets alter column type drop not null")
    team.execute("set session_replication_role = replica")
    team.execute("insert into media_assets (public_id, resource_type) values ('older', null)")
    team.execute("set session_replication_role = origin")
    row = team.execute(
        "insert into media_assets (public_id, resource_type, type, tags)"
        " values ('one', null, null, null) returning resource_type, type, tags"
    ).fetchone()
    assert row == {"resource_type": "image", "type": "upload", "tags": []}
    team.execute("delete from media_assets")
    deletions = team.execute("select public_id from cloudinary_cleanup_queue").fetchall()
    assert {row["public_id"] for row in deletions} == {"old", "older", "one"}


def test_deletions_are_asked_for_whatever_else_fails(
    team: psycopg.Connection[dict[str, Any]], warnings: list[str]
) -> None:
    team.execute("insert into media_assets (public_id) values ('another')")
    team.execute("drop table media_worker.media_counts")
    team.execute("update media_assets set deleted_at = now() where public_id = 'old'")
    team.execute("delete from media_assets where public_id = 'another'")
    deletions = team.execute("select public_id from cloudinary_cleanup_queue").fetchall()
    assert [row["public_id"] for row in deletions] == ["old", "another"]
    assert len(warnings) == 2
    warnings.clear()


def test_an_asset_is_named_once_and_can_be_upserted(
    team: psycopg.Connection[dict[str, Any]],
) -> None:
    for tag in ("x", "y"):
        team.execute(
            "insert into media_assets (public_id, asset_id, tags) values ('one', '1', array[%s])"
            " on conflict (asset_id) do update set tags = excluded.tags",
            (tag,),
        )
    rows = team.execute("select tags from media_assets where asset_id = '1'").fetchall()
    assert rows == [{"tags": ["y"]}]
