"""The buckets of archived tracks: what differs is found, and mended if that is wanted."""

from __future__ import annotations

from uuid import uuid4

from tests.check.conftest import MELODY, Site


def test_nothing_is_found_where_all_agrees(site: Site) -> None:
    site.track(cover=True)
    site.tracks(2)
    report = site.check(verify=True)
    assert report.agrees and report.carried_out
    assert report.findings == []
    assert {place.place: place.objects for place in report.places} == {
        f"storage:{site.archive.buckets['audio']}": 3,
        f"storage:{site.archive.buckets['cover']}": 1,
        f"storage:{site.archive.buckets['video']}": 0,
    }


def test_missing_object_is_found_and_archived_again(site: Site) -> None:
    track, other = site.tracks(2)
    key, before = site.key(track), site.archive.track(other)
    site.remove(key)
    report = site.check()
    assert [(f.place, f.kind, f.key) for f in report.findings] == [(site.place, "missing", key)]
    assert not report.agrees
    assert site.archive.track(track)["archived_to_storage"] is True

    assert site.check(repair=True).agrees
    row = site.archive.track(track)
    assert (row["archived_to_storage"], row["archived_at"], row["storage_audio_url"]) == (
        False, None, None,
    )  # fmt: skip
    assert site.archive.sql("select source from track_playback where track_id = %s", track) == [
        {"source": "provider"}
    ]
    site.archive.work()
    assert site.archive.track(track)["archived_to_storage"] is True
    assert site.archive.stored("audio", key) == MELODY
    assert site.found() == []
    assert site.archive.track(other) == before


def test_missing_cover_leaves_the_audio_alone(site: Site) -> None:
    provider = site.archive.provider
    track = site.track(cover=True)
    before, downloads = site.archive.track(track), len(provider.requests("/ok/melody.mp3"))
    (cover,) = site.archive.keys("cover")
    site.remove(cover, bucket=site.archive.buckets["cover"])
    assert site.check(repair=True).agrees
    row = site.archive.track(track)
    assert row["storage_cover_url"] is None and row["archived_to_storage"] is True
    site.archive.work()
    assert site.archive.track(track) == before
    assert site.archive.keys("cover") == [cover]
    assert len(provider.requests("/ok/melody.mp3")) == downloads


def test_all_files_of_a_track_are_mended_at_once(site: Site) -> None:
    track = site.track(cover=True)
    row = site.archive.track(track)
    site.remove(site.key(track))
    (cover,) = site.archive.keys("cover")
    site.put(cover, b"", bucket=site.archive.buckets["cover"])
    report = site.check(repair=True)
    assert sorted(f.kind for f in report.findings) == ["missing", "truncated"]
    assert report.agrees
    site.archive.work()
    assert site.found(verify=True) == []
    assert site.archive.track(track)["storage_cover_url"] == row["storage_cover_url"]


def test_truncated_object_is_found_and_stored_again(site: Site) -> None:
    track = site.track()
    key = site.key(track)
    site.put(key, MELODY[:1000])
    report = site.check()
    (finding,) = report.findings
    assert (finding.kind, finding.key) == ("truncated", key)
    assert f"1000 bytes instead of {len(MELODY)}" in finding.what
    assert site.check(repair=True).agrees
    assert site.archive.track(track)["storage_audio_url"] is not None
    site.archive.work()
    assert site.archive.stored("audio", key) == MELODY
    assert site.found(verify=True) == []


def test_object_with_other_bytes_of_the_same_length_is_found(site: Site) -> None:
    key = site.key(site.track())
    site.put(key, bytes(len(MELODY)))
    assert site.found() == [("other", key)]
    assert site.check(repair=True).agrees
    site.archive.work()
    assert site.archive.stored("audio", key) == MELODY


def test_bytes_are_compared_only_when_they_are_read(site: Site) -> None:
    track, _ = site.tracks(2)
    site.archive.sql(
        "update media_worker.objects set sha256 = %s where owner_id = %s", "0" * 64, str(track)
    )
    assert site.found() == []
    assert site.found(verify=True) == [("other", site.key(track))]
    assert site.check(verify=True, repair=True).agrees
    site.archive.work()
    assert site.found(verify=True) == []


def test_object_without_a_row_is_deleted(site: Site) -> None:
    track, kept = site.tracks(2)
    key = site.key(track)
    site.archive.sql("alter table tracks disable trigger user")
    site.archive.sql("delete from tracks where id = %s", track)
    assert site.found() == [("orphan", key)]
    assert site.archive.keys("audio") == sorted([key, site.key(kept)])

    report = site.check(repair=True)
    assert report.agrees and report.findings[0].repaired
    assert site.check().findings == []  # it is under way
    site.archive.work()
    assert site.archive.keys("audio") == [site.key(kept)]
    assert site.archive.one("select count(*) from media_worker.objects") == 1


def test_deletion_is_dropped_when_the_track_comes_back_before_it(site: Site) -> None:
    track = site.track()
    row = site.archive.track(track)
    site.archive.sql("truncate tracks")
    assert site.check(repair=True).agrees
    site.archive.insert_track(row["audio_url"], id=track, user_id=row["user_id"])
    site.archive.work()
    assert site.archive.keys("audio") == [site.key(track)]
    assert site.archive.track(track)["archived_to_storage"] is True
    assert site.found() == []


def test_file_that_its_track_has_elsewhere_now_is_deleted(site: Site) -> None:
    track = site.track()
    key = site.key(track)
    site.put("by-hand.mp3", MELODY)
    url = f"{site.archive.s3.endpoint}/{site.bucket}/by-hand.mp3"
    site.archive.one("select mark_track_archived(%s, %s)", track, url)
    assert sorted(site.found()) == [("orphan", key), ("unrecorded", "by-hand.mp3")]
    assert site.check(repair=True).agrees
    site.archive.work()
    assert site.archive.keys("audio") == ["by-hand.mp3"]


def test_failed_deletion_is_begun_anew(site: Site) -> None:
    track = site.track()
    site.archive.sql("delete from tracks where id = %s", track)
    assert site.found() == []  # its deletion waits
    site.archive.sql("update storage_cleanup_queue set status = 'failed'")
    assert [kind for kind, _ in site.found()] == ["orphan"]
    assert site.check(repair=True).agrees
    site.archive.work()
    assert site.archive.keys("audio") == []


def test_object_of_others_is_listed_and_left(site: Site) -> None:
    site.track()
    site.put("podcast/episode.mp3")
    report = site.check(repair=True)
    assert [(f.kind, f.key) for f in report.findings] == [("foreign", "podcast/episode.mp3")]
    assert report.agrees
    assert report.counts["foreign"] == 1
    assert "podcast/episode.mp3" in site.archive.keys("audio")
    assert site.archive.one("select count(*) from storage_cleanup_queue") == 0


def test_objects_of_others_are_counted_and_a_few_are_listed(site: Site) -> None:
    for number in range(25):
        site.put(f"others/{number}")
    report = site.check()
    assert report.counts["foreign"] == 25
    assert len(report.findings) == 20


def test_classic_file_is_told_from_those_of_others(site: Site) -> None:
    track = site.archive.insert_track(age="1 day")
    site.put("old/song one.mp3")
    url = f"{site.archive.s3.endpoint}/{site.bucket}/old/song%20one.mp3"
    site.archive.one("select mark_track_archived(%s, %s)", track, url)
    report = site.check(repair=True)
    assert [(f.kind, f.key) for f in report.findings] == [("unrecorded", "old/song one.mp3")]
    assert str(track) in report.findings[0].what
    assert report.agrees
    assert site.archive.track(track)["storage_audio_url"] == url
    assert site.archive.one("select count(*) from media_worker.check_claims") == 0


def test_row_that_claims_a_file_nobody_has_is_put_right(site: Site) -> None:
    track = site.archive.insert_track(site.archive.provider.url("/ok/melody.mp3"), age="1 day")
    url = f"{site.archive.s3.endpoint}/{site.bucket}/old/song.mp3"
    site.archive.one("select mark_track_archived(%s, %s)", track, url)
    assert site.found() == [("missing", "old/song.mp3")]
    assert site.check(repair=True).agrees
    assert site.archive.track(track)["storage_audio_url"] is None
    site.archive.work()
    assert site.archive.keys("audio") == [site.key(track)]
    assert site.archive.track(track)["archived_to_storage"] is True
    assert site.found() == []


def test_file_whose_only_source_is_gone_is_said_to_be_lost(site: Site) -> None:
    site.archive.work()  # tells the triggers what the team's storage is
    url = f"{site.archive.s3.endpoint}/{site.bucket}/upload.mp3"
    track = site.archive.insert_track(url)
    report = site.check(repair=True)
    (finding,) = report.findings
    assert (finding.kind, finding.repaired) == ("missing", False)
    assert "cannot be had again" in finding.outcome
    assert not report.agrees
    assert site.archive.track(track)["storage_audio_url"] == url


def test_url_elsewhere_is_nobodys_business(site: Site) -> None:
    track = site.archive.insert_track(age="1 day")
    site.archive.one("select mark_track_archived(%s, %s)", track, "https://example.com/x/a.mp3")
    assert site.found() == []


def test_ledger_forgets_what_is_gone_and_unwanted(site: Site) -> None:
    track = site.track()
    site.remove(site.key(track))
    site.archive.sql("truncate tracks")
    report = site.check(repair=True)
    assert [(f.kind, f.outcome) for f in report.findings] == [("missing", "forgotten")]
    assert report.agrees
    assert site.archive.one("select count(*) from media_worker.objects") == 0


def test_upload_that_came_to_nothing_is_no_finding(site: Site) -> None:
    site.archive.sql(
        "insert into media_worker.objects"
        " (service, bucket, object_key, owner_table, owner_id, role)"
        " values ('storage', %s, 'u/x.mp3', 'tracks', %s, 'audio')",
        site.bucket,
        str(uuid4()),
    )
    assert site.found() == []
    site.put("u/x.mp3")
    assert site.found() == [("orphan", "u/x.mp3")]
