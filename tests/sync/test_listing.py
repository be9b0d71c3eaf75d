"""What people read: listing, statistics, status, retention."""

from __future__ import annotations

import secrets
from typing import Any

import psycopg
import pytest

from tests.sync.site import Site

# As loaded in bulk: without triggers, thus in no time.
LOAD = """
    insert into media_assets (public_id, asset_id, folder, display_name, tags, bytes, created_at,
        sync_status, resource_type)
    select 'library/' || md5(i::text) || '/photo-' || i, 'id' || i, 'folder' || i %% 100,
        'Name ' || i, array['tag' || i %% 500, 'common'], 1, now() - i * interval '1 second',
        'synced', case when i %% 200 = 0 then 'raw' else 'image' end
    from generate_series(1, %s) as i
"""


def load(site: Site, rows: int) -> None:
    with site.connection.transaction():
        site.sql("set local session_replication_role = replica")
        site.sql(LOAD, rows)
    site.sql("analyze media_assets")


def listing(site: Site, **filters: Any) -> dict[str, Any]:
    named = ", ".join(f"{name} => %s" for name in filters)
    found: dict[str, Any] = site.one(f"select list_media({named})", *filters.values())
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [item["public_id"] for item in found["items"]]


@pytest.fixture
def few(site: Site) -> Site:
    site.sql(
        """insert into media_assets
            (public_id, display_name, tags, folder, resource_type, source_url, created_at)
        values ('a/red-cat', 'Old Tom', '{pets,big_one}', 'a', 'image', 'http://x/?k',
                '2020-01-01'),
            ('a/dog', null, '{pets}', 'a', 'video', null, '2021-01-01'),
            ('b/Кошка', 'Tomcat', '{}', 'b', 'raw', null, '2022-01-01'),
            ('gone', null, '{}', 'a', 'image', null, '2023-01-01')"""
    )
    site.sql("update media_assets set deleted_at = now() where public_id = 'gone'")
    return site


def test_the_newest_come_first_and_deleted_ones_do_not(few: Site) -> None:
    found = listing(few)
    assert names(found) == ["b/Кошка", "a/dog", "a/red-cat"]
    assert (found["total"], found["total_capped"]) == (3, False)
    assert (found["page"], found["page_size"]) == (1, 50)
    assert found["stats"]["total_assets"] == 3
    assert found["sync_status"]["running"] == 0
    assert "source_url" not in found["items"][2]
    assert names(listing(few, page=2, page_size=2)) == ["a/red-cat"]
    assert names(listing(few, page=9)) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"search": "tom"}, ["b/Кошка", "a/red-cat"]),
        ({"search": "TOM cat"}, ["a/red-cat"]),
        ({"search": "om"}, []),
        ({"search": "red-c"}, ["a/red-cat"]),
        ({"search": "кош"}, ["b/Кошка"]),
        ({"search": "one"}, ["a/red-cat"]),
        ({"search": "  ' & | ! :* \\ "}, ["b/Кошка", "a/dog", "a/red-cat"]),
        ({"search": "pe", "folder": "a"}, ["a/dog", "a/red-cat"]),
        ({"folder": "b"}, ["b/Кошка"]),
        ({"tags": ["pets"]}, ["a/dog", "a/red-cat"]),
        ({"tags": ["pets", "big_one"]}, ["a/red-cat"]),
        ({"resource_type": "video"}, ["a/dog"]),
        ({"resource_type": "video", "folder": "b"}, []),
    ],
)
def test_filters(few: Site, filters: dict[str, Any], expected: list[str]) -> None:
    found = listing(few, **filters)
    assert names(found) == expected
    assert found["total"] == len(expected)


@pytest.mark.parametrize(
    "filters", [{"page": 0}, {"page": -(2**31)}, {"page_size": 0}, {"page_size": 501}]
)
def test_senseless_pages_are_refused(site: Site, filters: dict[str, int]) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        listing(site, **filters)


def test_a_filtered_total_stops_counting(site: Site) -> None:
    load(site, 10_050)
    found = listing(site, search="common")
    assert (found["total"], found["total_capped"], len(found["items"])) == (10_000, True, 50)
    assert found["items"][0]["display_name"] == "Name 1"
    deep = listing(site, search="common", page=200)
    assert deep["items"][-1]["display_name"] == "Name 10000"


def test_many_that_are_all_old_are_found_too(site: Site) -> None:
    load(site, 20_000)
    site.sql("set session_replication_role = replica")
    site.sql("update media_assets set tags = '{old}' where substring(asset_id, 3)::integer > 9000")
    site.sql("set session_replication_role = origin")
    for filters in ({"search": "old"}, {"tags": ["old"]}):
        found = listing(site, **filters)
        assert found["total_capped"]
        assert found["items"][0]["display_name"] == "Name 9001"
        deep = listing(site, **filters, page=200)
        assert deep["items"][-1]["display_name"] == "Name 19000"


def test_of_what_is_frequent_the_newest_are_found(site: Site) -> None:
    load(site, 20_000)
    site.sql("set session_replication_role = replica")
    site.sql("update media_assets set tags = '{x}' where substring(asset_id, 3)::integer % 3 > 0")
    site.sql("update media_assets set folder = 'f' where substring(asset_id, 3)::integer <= 18000")
    site.sql("set session_replication_role = origin")
    for filters in ({"search": "x"}, {"tags": ["x"], "folder": "f"}):
        found = listing(site, **filters, page=2)
        assert found["items"][0]["display_name"] == "Name 76"
        assert found["items"][-1]["display_name"] == "Name 149"


@pytest.mark.parametrize(
    ("call", "index"),
    [
        ("'photo1:* & tag7:*', null, null, null", "media_worker_assets_words"),
        ("null, 'folder7', null, null", "media_worker_assets_in_folder"),
        ("null, null, '{tag7}', null", "media_worker_assets_tags"),
        ("null, null, null, 'raw'", "media_worker_assets_of_type"),
        ("null, null, null, null", "media_worker_assets_newest"),
    ],
)
def test_each_listing_has_its_index(site: Site, call: str, index: str) -> None:
    load(site, 20_000)
    condition = site.one(f"select media_worker.media_condition({call})")
    given = dict(zip(("$1", "$2", "$3", "$4"), call.rsplit(", ", 3), strict=True))
    for mark, value in given.items():
        condition = condition.replace(mark, value)
    plan = site.sql(
        f"explain select a.id from media_assets as a where {condition}"
        + ("" if "@" in condition else " order by a.created_at desc, a.id desc limit 50")
    )
    text = "\n".join(row["QUERY PLAN"] for row in plan)
    assert index in text
    assert "Seq Scan" not in text


def test_neither_a_search_nor_the_look_for_pending_rows_reads_the_table(site: Site) -> None:
    load(site, 20_000)
    site.sql("select pg_stat_force_next_flush()")
    before = site.one("select seq_scan from pg_stat_user_tables where relname = 'media_assets'")
    listing(site, search="photo-1234")
    listing(site)
    site.one("select media_worker.sync_reconcile(1000)")
    site.sql("select pg_stat_force_next_flush()")
    after = site.one("select seq_scan from pg_stat_user_tables where relname = 'media_assets'")
    assert after == before


def test_statistics_are_kept_up_to_date(few: Site) -> None:
    def figures() -> tuple[Any, ...]:
        row = few.sql("select * from get_media_statistics()")[0]
        return tuple(row.values())[:8]

    def counted() -> tuple[Any, ...]:
        return tuple(
            few.sql(
                """select count(*) as rows,
                    count(*) filter (where resource_type = 'image') as images,
                    count(*) filter (where resource_type = 'video') as videos,
                    count(*) filter (where resource_type = 'raw') as raw,
                    coalesce(sum(bytes), 0)::bigint as bytes,
                    count(*) filter (where sync_status = 'pending') as pending,
                    count(*) filter (where sync_status = 'error') as errors,
                    count(*) filter (where sync_status = 'synced') as synced
                from media_assets where deleted_at is null"""
            )[0].values()
        )

    for change in (
        "update media_assets set bytes = 7",
        "update media_assets set resource_type = 'video' where folder = 'b'",
        "delete from media_assets where folder = 'b'",
        "select media_worker.fold_media_counts()",
        "update media_assets set deleted_at = null",
        "select media_worker.fold_media_counts()",
        "truncate media_assets cascade",
    ):
        few.sql(change)
        assert figures() == counted(), change


def test_rates_are_those_of_the_last_day(site: Site) -> None:
    for status, milliseconds in (("success", 10), ("success", 20), ("error", 60), ("skipped", 0)):
        site.sql(
            "select media_worker.log_sync('update', %s, 'database', 'a', '{}', %s)",
            status, milliseconds,
        )  # fmt: skip
    site.sql(
        "insert into media_sync_log (operation, status, source, processing_time_ms, created_at)"
        " values ('update', 'error', 'database', 900, now() - interval '25 hours')"
    )
    for _ in range(2):
        row = site.sql("select * from get_media_statistics()")[0]
        assert (float(row["success_rate"]), float(row["avg_processing_ms"])) == (66.67, 22.5)
        site.sql("select media_worker.fold_media_counts()")


def test_old_lines_of_the_log_go(site: Site) -> None:
    site.sql(
        "insert into media_sync_log (operation, status, source, created_at)"
        " select 'update', 'success', 'database', now() - i * interval '1 day'"
        " from generate_series(1, 40) as i"
    )
    assert site.one("select cleanup_old_sync_logs()") == 11
    assert site.one("select cleanup_old_sync_logs(10)") == 20
    assert site.one("select media_worker.sync_forget(5)") == 5
    assert site.one("select media_worker.sync_forget(1)") == 0  # daily
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        site.sql("select cleanup_old_sync_logs(-1)")


def test_the_status_says_how_far_it_is(site: Site) -> None:
    def status() -> dict[str, Any]:
        return site.sql("select * from media_sync_status")[0]

    assert status()["last_full_sync_at"] is None
    assert status()["lag"].total_seconds() == 0
    site.sql("insert into media_assets (public_id) values ('missing')")
    assert (status()["pending"], status()["lag"].total_seconds() > 0) == (1, True)
    site.sync()
    found = status()
    assert found["last_full_sync_status"] == "completed"
    assert (found["pending"], found["errors"], found["running"]) == (0, 1, 0)


def test_words_that_no_index_can_hold_do_no_harm(site: Site) -> None:
    long = secrets.token_hex(4000)  # what repeats itself would be compressed
    site.sql(
        "insert into media_assets (public_id, display_name, tags, folder) values (%s, %s, %s, %s)",
        long, long, [long], long,
    )  # fmt: skip
    assert listing(site, folder=long)["total"] == 1
    assert listing(site, tags=[long])["total"] == 1
    assert listing(site, tags=[long[:200]])["total"] == 0
