"""What a check does not do: believe an outage, delete too much, meddle with work under way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.check.conftest import MELODY, Site
from worker.storage import ObjectInfo, ObjectStore


def orphans(site: Site, number: int) -> list[str]:
    """Objects of ours whose tracks are gone."""
    tracks = site.tracks(number)
    keys = [site.key(track) for track in tracks]
    site.archive.sql("truncate tracks")
    return keys


def kinds(site: Site, **options: Any) -> list[str]:
    return sorted(kind for kind, _ in site.found(**options))


def test_nothing_is_deleted_when_it_would_be_more_than_allowed(site: Site) -> None:
    keys = orphans(site, 4)
    report = site.check(repair=True, max_deletions=3)
    assert not report.agrees and not report.carried_out
    assert "4 objects would be deleted, and 3 may be" in (report.stopped or "")
    assert site.archive.one("select count(*) from storage_cleanup_queue") == 0
    assert site.archive.keys("audio") == sorted(keys)
    assert site.check(repair=True, max_deletions=4).agrees
    assert site.archive.one("select count(*) from storage_cleanup_queue") == 4


def test_number_of_deletions_is_that_of_all_places(site: Site) -> None:
    for _ in range(2):
        site.track(cover=True)
    site.archive.sql("truncate tracks")
    assert site.check(repair=True, max_deletions=3).stopped is not None
    assert site.archive.one("select count(*) from storage_cleanup_queue") == 0


def test_other_repairs_go_on_when_too_much_would_be_deleted(site: Site) -> None:
    track = site.track()
    site.remove(site.key(track))
    lost = site.track()
    site.archive.sql("alter table tracks disable trigger user")
    site.archive.sql("delete from tracks where id = %s", lost)
    site.archive.sql("alter table tracks enable trigger user")
    report = site.check(repair=True, max_deletions=0)
    assert {f.kind: f.repaired for f in report.findings} == {"missing": True, "orphan": False}
    assert site.archive.track(track)["archived_to_storage"] is False


def test_what_is_younger_than_the_cut_off_is_left_alone(site: Site) -> None:
    orphans(site, 1)
    missing = site.track()
    site.remove(site.key(missing))
    assert kinds(site, age=3600) == []
    assert kinds(site) == ["missing", "orphan"]


def test_old_row_of_a_young_object_is_left_alone(site: Site) -> None:
    (key,) = orphans(site, 1)
    site.archive.sql("update media_worker.objects set updated_at = now() - interval '1 day'")
    assert site.found(age=3600) == []
    assert site.found() == [("orphan", key)]


def test_track_whose_work_is_open_is_left_alone(site: Site) -> None:
    track = site.track()
    site.remove(site.key(track))
    site.archive.one("select archive_track(%s, true)", track)
    assert site.found() == []
    assert site.check(repair=True).agrees
    assert site.archive.track(track)["archived_to_storage"] is True


@pytest.mark.parametrize("change", ["claim = gen_random_uuid()", "recheck_at = now()"])
def test_object_that_a_run_has_is_left_alone(site: Site, change: str) -> None:
    site.remove(site.key(site.track()))
    site.archive.sql(f"update media_worker.objects set {change}")
    assert site.found() == []


def test_object_of_an_owner_that_is_not_known_is_left_alone(site: Site) -> None:
    orphans(site, 1)
    site.archive.sql("update media_worker.objects set owner_table = 'pictures'")
    assert site.found() == []


def test_outage_of_one_bucket_stops_no_other(site: Site) -> None:
    key = site.key(site.track())
    site.remove(key)
    for role in ("cover", "video"):
        site.archive.s3.boto.delete_bucket(Bucket=site.archive.buckets[role])
    report = site.check(repair=True)
    assert [(f.key, f.repaired) for f in report.findings] == [(key, True)]
    errors = [place.error for place in report.places]
    assert errors[0] is None
    assert all("NoSuchBucket" in (error or "") for error in errors[1:])
    assert not report.agrees and not report.carried_out


def test_storage_that_does_not_answer_makes_nothing_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = site.track()
    monkeypatch.setenv("STORAGE_ENDPOINT", "http://127.0.0.1:1")
    report = site.check(repair=True)
    assert report.findings == []
    assert all("127.0.0.1:1" in (place.error or "") for place in report.places)
    assert site.archive.track(track)["archived_to_storage"] is True


def test_listing_that_breaks_off_repairs_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.remove(site.key(site.track()))
    monkeypatch.setattr("worker.check.buckets.listing.PAGE", 1)
    monkeypatch.setattr("worker.check.buckets.inspection.BATCH", 1)
    site.put("~last")
    listing = ObjectStore.list

    def cut(store: ObjectStore, prefix: str = "") -> Iterator[ObjectInfo]:
        yield from listing(store, prefix)
        raise listing_error(store)

    monkeypatch.setattr(ObjectStore, "list", cut)
    report = site.check(repair=True)
    assert [(f.kind, f.repaired) for f in report.findings] == [("missing", False)]
    assert site.archive.one("select bool_and(archived_to_storage) from tracks")


def listing_error(store: ObjectStore) -> Exception:
    from worker.errors import Outage

    return Outage(store.target.service, "cut")


def test_listing_out_of_order_is_not_believed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.tracks(2)
    listing = ObjectStore.list

    def reverse(store: ObjectStore, prefix: str = "") -> Iterator[ObjectInfo]:
        return reversed(list(listing(store, prefix)))

    monkeypatch.setattr(ObjectStore, "list", reverse)
    report = site.check(repair=True)
    assert "not in byte order" in (report.places[0].error or "")
    assert site.archive.one("select bool_and(archived_to_storage) from tracks")


def test_object_that_the_listing_leaves_out_is_not_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, other = site.tracks(2)
    before, listing = site.archive.track(track), ObjectStore.list

    def incomplete(store: ObjectStore, prefix: str = "") -> Iterator[ObjectInfo]:
        return (found for found in listing(store, prefix) if found.key != site.key(track))

    monkeypatch.setattr(ObjectStore, "list", incomplete)
    site.remove(site.key(other))
    report = site.check(repair=True)
    said = {finding.key: finding.as_json() for finding in report.findings}
    assert said[site.key(track)]["repaired"] is False
    assert "is there after all" in said[site.key(track)]["repair"]
    assert said[site.key(other)]["repaired"] is True
    assert not report.agrees
    assert site.archive.track(track) == before


def test_empty_bucket_is_taken_for_the_wrong_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = site.tracks(6)
    for track in tracks:
        site.remove(site.key(track))
    report = site.check(repair=True)
    assert report.findings == [] and not report.agrees
    assert "nothing is listed there, and 6 objects ought to be" in (report.places[0].error or "")
    assert site.archive.one("select bool_and(archived_to_storage) from tracks")
    forced = site.check(repair=True, force=True)
    assert forced.agrees and forced.counts["missing"] == 6
    assert not site.archive.one("select bool_or(archived_to_storage) from tracks")


def test_empty_bucket_with_a_handful_of_objects_is_believed(site: Site) -> None:
    tracks = site.tracks(5)
    for track in tracks:
        site.remove(site.key(track))
    assert site.check(repair=True).agrees


def test_bucket_where_most_is_missing_is_not_repaired(site: Site) -> None:
    tracks = site.tracks(14)
    for track in tracks[:11]:
        site.remove(site.key(track))
    report = site.check(repair=True)
    assert report.counts["missing"] == 11
    assert "11 of 14 objects are missing or differ" in (report.places[0].error or "")
    assert site.archive.one("select bool_and(archived_to_storage) from tracks")
    assert site.check(repair=True, force=True).agrees


def test_hostile_keys_are_listed_and_nothing_else(site: Site) -> None:
    track = site.track()
    keys = [
        "../../etc/passwd", "a//b", "back\\slash", "new\nline", "\x1b[31mred", "ünïcode/ключ",
        "%2e%2e/x", "a b?c=d&e#f", "'; drop table tracks; --", "[bold]x[/bold]", "x" * 1024,
    ]  # fmt: skip
    for key in keys:
        site.put_strange(key)
    report = site.check(repair=True)
    assert report.agrees
    assert sorted(f.key for f in report.findings) == sorted(keys)
    assert {f.kind for f in report.findings} == {"foreign"}
    assert site.archive.keys("audio") == sorted([*keys, site.key(track)])


def test_keys_are_compared_in_the_order_of_their_bytes(site: Site) -> None:
    # byte order and a dictionary's differ: upper and lower case, punctuation, other scripts
    keys = ["B/1", "a/1", "A-1", "A/1", "A_1", "a.1", "z", "é", "Ω", "日本", "𝄞"]
    for key in keys:
        site.put(key)
        site.archive.sql(
            "insert into media_worker.objects (service, bucket, object_key, owner_table, owner_id,"
            " role, state, bytes) values ('storage', %s, %s, 'tracks', %s, 'audio', 'live', 14)",
            site.bucket,
            key,
            str(uuid4()),
        )
    assert [kind for kind, _ in site.found()] == ["orphan"] * len(keys)


def test_pages_of_both_sides_meet(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.check.buckets.listing.PAGE", 2)
    monkeypatch.setattr("worker.check.buckets.store.PAGE", 3)
    monkeypatch.setattr("worker.check.buckets.store.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("worker.check.buckets.inspection.BATCH", 4)
    tracks = sorted(site.tracks(11), key=site.key)
    site.remove(site.key(tracks[4]))
    site.put("!first")
    site.put("~last")
    assert sorted(site.found()) == [
        ("foreign", "!first"), ("foreign", "~last"), ("missing", site.key(tracks[4])),
    ]  # fmt: skip


def test_object_that_changes_during_the_check_is_no_finding(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.tracks(2)
    key = site.key(first)
    listing = ObjectStore.list

    def meanwhile(store: ObjectStore, prefix: str = "") -> Iterator[ObjectInfo]:
        # between the two sides one track is deleted, and an object of ours comes
        if store.target.bucket == site.bucket:
            remove_with_its_row(site, first)
            site.put("u/new.mp3", MELODY)
            record(site, second, "u/new.mp3")
        return listing(store, prefix)

    monkeypatch.setattr(ObjectStore, "list", meanwhile)
    assert [each for each in site.found() if each[1] in (key, "u/new.mp3")] == []


def remove_with_its_row(site: Site, track: UUID) -> None:
    site.remove(site.key(track))
    site.archive.sql("delete from tracks where id = %s", track)
    site.archive.sql("delete from media_worker.objects where owner_id = %s", str(track))


def record(site: Site, track: UUID, key: str) -> None:
    site.archive.sql(
        "insert into media_worker.objects"
        " (service, bucket, object_key, owner_table, owner_id, role)"
        " values ('storage', %s, %s, 'tracks', %s, 'audio')",
        site.bucket,
        key,
        str(track),
    )


def test_repair_of_what_has_changed_since_is_left(site: Site) -> None:
    track = site.track()
    seen = site.archive.one("select updated_at from media_worker.objects")
    ident = site.archive.one("select id from media_worker.objects")
    site.archive.sql("update media_worker.objects set updated_at = now()")
    for finding in ("missing", "other", "orphan"):
        said = site.archive.one("select media_worker.check_mend(%s, %s, %s)", ident, seen, finding)
        assert said == "changed"
    assert site.archive.track(track)["archived_to_storage"] is True


def test_row_that_the_application_holds_is_left_to_the_next_check(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = site.track()
    site.remove(site.key(track))
    with site.archive.connection.transaction():
        site.archive.sql("select from tracks for update")
        report = site.check(repair=True)
    (finding,) = report.findings
    assert not finding.repaired and "the application holds the row" in finding.outcome
    assert site.check(repair=True).agrees


def test_finding_of_an_hour_ago_is_no_reason_to_wait(site: Site) -> None:
    site.remove(site.key(site.track()))
    site.archive.sql("update media_worker.objects set updated_at = now() - interval '61 minutes'")
    assert kinds(site, age=timedelta(hours=1).total_seconds()) == ["missing"]
