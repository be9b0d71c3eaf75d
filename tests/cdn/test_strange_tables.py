"""audio_tracks of the team's own, whatever their columns, policies and triggers are."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.cdn.sql import DELETES, FIRST, SECOND, UPLOADS, AudioTracks, Run
from tests.support.databases import PostgresServer, changed_url, migrate, unique_name

TABLE = """
create domain file_name as varchar(200);
create table audio_tracks (
    serial bigint generated always as identity,
    track_id varchar(50) primary key,
    file_path file_name,
    metadata json,
    storage_locations json default '{"supabase": true, "r2_cdn": false}',
    cdn_url varchar(300),
    cdn_enabled boolean,
    cdn_uploaded_at timestamp,
    created_at timestamp default now()
);
insert into audio_tracks (track_id, file_path, metadata) values ('old', 'old.mp3', '{"a": 1}');
"""


@pytest.fixture
def strange(empty_database: str) -> Iterator[AudioTracks]:
    """Two targets, and a table that was there before."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(TABLE)
    migrate(empty_database)
    with AudioTracks.connected(empty_database) as tracks:
        tracks.configure(FIRST, SECOND)
        yield tracks
        assert tracks.warnings == []


def test_table_of_the_teams_own_serves(strange: AudioTracks) -> None:
    assert strange.wanted("old") == {}
    assert strange.one("select backfill_cdn()") == 1
    strange.upload("old")
    strange.sql("set timezone = 'Asia/Tokyo'")
    strange.insert(metadata={"title": "A"}, storage_locations={"supabase": True, FIRST: True})
    assert strange.claims() == {"supabase": True, FIRST: False}
    assert Run.of(strange).load()["metadata"] == {"title": "A"}
    strange.sql("update cdn_sync_jobs set status = 'pending', claim = null")
    strange.upload()
    seconds = "extract(epoch from cdn_uploaded_at at time zone 'UTC' - clock_timestamp())"
    assert abs(strange.one(f"select {seconds} from audio_tracks where track_id = 'a'")) < 60
    strange.update("storage_locations = null, cdn_url = null")
    assert strange.claims()[FIRST] is True and strange.track()["cdn_url"]
    strange.update("""metadata = '{"title":"B"}'""")
    assert strange.wanted() == UPLOADS
    strange.upload()
    strange.delete()
    assert strange.wanted() == DELETES
    strange.remove()
    assert strange.sql("select target, uploaded from cdn_statistics") == [
        {"target": FIRST, "uploaded": 1}, {"target": SECOND, "uploaded": 1}
    ]  # fmt: skip


def test_json_that_jsonb_does_not_take_does_no_harm(strange: AudioTracks) -> None:
    strange.sql("insert into audio_tracks (track_id, file_path) values ('a', 'a.mp3')")
    strange.update(r"""metadata = '{"a": "\u0000"}', storage_locations = '{"\u0000": 1}'""")
    assert Run.of(strange).load()["metadata"] is None
    strange.sql("update cdn_sync_jobs set status = 'pending', claim = null")
    strange.upload()
    assert strange.claims()[FIRST] is True
    strange.delete()
    assert strange.wanted() == DELETES


def test_null_in_cdn_enabled_counts_as_the_default(strange: AudioTracks) -> None:
    strange.insert(cdn_enabled=None)
    assert strange.wanted() == UPLOADS
    strange.settle()
    strange.update("cdn_enabled = true")
    assert strange.wanted() == {}
    strange.sql("select sync_to_cdn('a', 'delete')")
    assert strange.track()["cdn_enabled"] is False


def test_settings_of_a_session_change_nothing(audio_tracks: AudioTracks) -> None:
    audio_tracks.sql(
        "create schema trap; create table trap.cdn_sync_jobs (like public.cdn_sync_jobs);"
        " create table trap.audio_tracks (track_id text);"
        " set search_path = trap, pg_temp; set standard_conforming_strings = off;"
        " set default_transaction_isolation = 'repeatable read'; set datestyle = 'German'"
    )
    audio_tracks.sql("create temp table cdn_targets (name text, active boolean)")
    audio_tracks.sql("insert into public.audio_tracks (track_id, file_path) values ('a', 'a')")
    audio_tracks.sql("select public.sync_to_cdn('a')")
    audio_tracks.sql("delete from public.audio_tracks")
    audio_tracks.sql("reset all")
    assert audio_tracks.wanted() == DELETES


# Who writes, and who works ---------------------------------------------------------------------


@pytest.fixture
def member(audio_tracks: AudioTracks, postgres_server: PostgresServer) -> Iterator[AudioTracks]:
    """A login that is a member of media_worker and nothing else."""
    name = unique_name("worker")
    audio_tracks.sql(f"create role {name} login in role media_worker")
    with AudioTracks.connected(changed_url(audio_tracks.url, user=name)) as worker:
        yield worker
    audio_tracks.sql(f"drop owned by {name}; drop role {name}")


def test_member_of_the_workers_group_does_all_that_a_worker_does(
    audio_tracks: AudioTracks, member: AudioTracks
) -> None:
    member.configure(SECOND, FIRST)
    member.configure(FIRST, SECOND)
    audio_tracks.sql("drop policy media_worker_service on audio_tracks")
    assert member.sql("select * from audio_tracks") == []
    audio_tracks.insert()
    member.upload()
    assert audio_tracks.claims()[SECOND] is True
    assert audio_tracks.wanted() == {}
    audio_tracks.delete()
    member.remove()
    audio_tracks.insert()
    assert len(member.values("select sync_to_cdn('a', 'delete')")) == 2
    assert member.one("select backfill_cdn()") == member.one("select retry_failed_cdn_syncs()") == 0
    assert len(member.sql("select * from cdn_statistics")) == 2
    assert len(member.sql("select * from cdn_sync_status")) == 2
    assert member.one("select media_worker.cdn_reconcile()") == 0


def test_application_that_may_touch_nothing_of_ours_is_served(audio_tracks: AudioTracks) -> None:
    name = unique_name("application")
    audio_tracks.sql(
        f"create role {name}; grant select, insert, update, delete on audio_tracks to {name};"
        f"create policy own on audio_tracks to {name} using (track_id like 'my-%')"
    )
    audio_tracks.sql(f"set role {name}")
    audio_tracks.insert("my-a", storage_locations={FIRST: True})
    assert audio_tracks.claims("my-a") == {FIRST: False}
    audio_tracks.update("track_id = 'my-b', metadata = '{}'", track="my-a")
    assert audio_tracks.refused("insert into audio_tracks values ('a')").sqlstate == "42501"
    assert audio_tracks.refused("select * from cdn_sync_jobs").sqlstate == "42501"
    assert audio_tracks.refused("select sync_to_cdn('my-b')").sqlstate == "42501"
    assert audio_tracks.refused("select media_worker.request_cdn('{my-b}')").sqlstate == "42501"
    audio_tracks.sql("reset role")
    assert audio_tracks.wanted("my-a") == DELETES and audio_tracks.wanted("my-b") == UPLOADS
    audio_tracks.sql(f"set role {name}")
    audio_tracks.delete("my-b")
    audio_tracks.sql("reset role")
    assert audio_tracks.wanted("my-b") == DELETES
    audio_tracks.sql(f"drop owned by {name}; drop role {name}")


def test_trigger_of_the_teams_own_runs_before_ours(audio_tracks: AudioTracks) -> None:
    audio_tracks.sql(
        "create function fill() returns trigger language plpgsql as $$ begin"
        " new.file_path := 'filled.mp3'; new.cdn_url := 'https://x.example.com'; return new; end $$"
    )
    audio_tracks.sql(
        "create trigger zebra before insert on audio_tracks for each row execute function fill()"
    )
    audio_tracks.insert(file_path=None)
    assert audio_tracks.track()["cdn_url"] is None
    job = audio_tracks.job()
    assert job and job["file_path"] == "filled.mp3"
