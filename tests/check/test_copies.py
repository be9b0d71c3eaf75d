"""CDN targets: copies that are missing, wrong or not wanted, below the two prefixes only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.archive.conftest import Archive
from tests.check.conftest import MELODY
from tests.check.copies import TARGETS, Copies

AUDIO = {target: f"cdn:{target}/audio/" for target in TARGETS}
SIDECARS = {target: f"cdn:{target}/metadata/" for target in TARGETS}


@pytest.fixture
def copies(archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Copies:
    monkeypatch.chdir(tmp_path)
    sources, first, second = archive.s3.fresh_buckets("sources", "first", "second")
    parts = {
        "ENDPOINT": archive.s3.endpoint,
        "ACCESS_KEY_ID": archive.s3.access_key_id,
        "SECRET_ACCESS_KEY": archive.s3.secret_access_key,
    }
    env = {f"R2_{name}": value for name, value in parts.items()}
    env |= {f"CDN_SECOND_{name}": value for name, value in parts.items()}
    env |= {"R2_BUCKET_NAME": first, "CDN_SECOND_BUCKET": second, "CDN_TARGETS": ",".join(TARGETS)}
    env |= {"R2_PUBLIC_URL": "https://cdn.example.com", "STORAGE_SOURCE_BUCKET": sources}
    for name, value in (archive.env | env).items():
        monkeypatch.setenv(name, value)
    archive.sql("select media_worker.cdn_configure(%s)", list(TARGETS))
    return Copies(archive, sources, {"r2_cdn": first, "second": second}, env)


def test_nothing_is_found_where_copies_agree(copies: Copies) -> None:
    copies.track("one")
    copies.track("two")
    report = copies.check(verify=True)
    assert report.agrees and report.findings == []
    assert [place.place for place in report.places[3:]] == [
        AUDIO["r2_cdn"], SIDECARS["r2_cdn"], AUDIO["second"], SIDECARS["second"],
    ]  # fmt: skip
    assert [place.objects for place in report.places[3:]] == [2, 2, 2, 2]


def test_missing_copy_is_claimed_no_more_and_sent_again(copies: Copies) -> None:
    copies.track("one")
    copies.remove("r2_cdn", copies.key("one"))
    assert copies.found() == [(AUDIO["r2_cdn"], "missing", copies.key("one"))]
    assert copies.claims("one") == {"r2_cdn": True, "second": True}

    assert copies.check(repair=True).agrees
    assert copies.claims("one") == {"r2_cdn": False, "second": True}
    assert copies.row("one")["cdn_url"] is None
    (job,) = copies.archive.sql("select * from cdn_sync_jobs where status = 'pending'")
    assert (job["target"], job["operation"], job["cdn_url"]) == ("r2_cdn", "upload", None)
    copies.work()
    assert copies.claims("one") == {"r2_cdn": True, "second": True}
    assert copies.row("one")["cdn_url"] == copies.url("one")
    assert copies.found(verify=True) == []


def test_missing_sidecar_counts_too(copies: Copies) -> None:
    copies.track("one")
    copies.remove("second", copies.key("one", "sidecar"))
    assert copies.found() == [(SIDECARS["second"], "missing", copies.key("one", "sidecar"))]
    assert copies.check(repair=True).agrees
    assert copies.claims("one") == {"r2_cdn": True, "second": False}
    assert copies.row("one")["cdn_url"] == copies.url("one")  # the first target has it


@pytest.mark.parametrize(
    ("data", "kind"),
    [(MELODY[:100], "truncated"), (bytes(len(MELODY)), "other")],
    ids=["truncated", "other"],
)
def test_wrong_copy_is_claimed_no_more_and_sent_again(
    copies: Copies, data: bytes, kind: str
) -> None:
    copies.track("one")
    copies.put("second", copies.key("one"), data)
    assert copies.found() == [(AUDIO["second"], kind, copies.key("one"))]
    assert copies.check(repair=True).agrees
    assert copies.claims("one") == {"r2_cdn": True, "second": False}
    copies.work()
    assert copies.archive.s3.read(copies.buckets["second"], copies.key("one")) == MELODY
    assert copies.found(verify=True) == []


def test_copies_without_a_row_are_deleted(copies: Copies) -> None:
    copies.track("gone")
    copies.track("kept")
    copies.archive.sql("alter table audio_tracks disable trigger user")
    copies.archive.sql("delete from audio_tracks where track_id = 'gone'")
    report = copies.check()
    assert {(f.kind, f.key) for f in report.findings} == {
        ("orphan", copies.key("gone")), ("orphan", copies.key("gone", "sidecar")),
    }  # fmt: skip
    assert report.counts["orphan"] == 4
    assert copies.check(repair=True, max_deletions=3).stopped is not None
    assert copies.archive.one("select count(*) from cdn_sync_jobs where status = 'pending'") == 0

    assert copies.check(repair=True).agrees
    assert copies.found() == []  # it is under way
    copies.work()
    for target in TARGETS:
        assert copies.keys(target) == [copies.key("kept"), copies.key("kept", "sidecar")]


def test_copies_of_a_track_that_is_not_for_the_cdn_are_deleted(copies: Copies) -> None:
    copies.track("one")
    copies.archive.sql("alter table audio_tracks disable trigger user")
    copies.archive.sql("update audio_tracks set cdn_enabled = false")
    copies.archive.sql("alter table audio_tracks enable trigger user")
    assert copies.check().counts["orphan"] == 4
    assert copies.check(repair=True).agrees
    copies.work()
    assert copies.keys("r2_cdn") == copies.keys("second") == []
    assert copies.claims("one") == {"r2_cdn": False, "second": False}


def test_row_that_claims_a_copy_nobody_has_is_put_right(copies: Copies) -> None:
    copies.archive.s3.boto.put_object(Bucket=copies.sources, Key="old.mp3", Body=MELODY)
    copies.insert("old", file_path="old.mp3")
    copies.archive.sql("delete from cdn_sync_jobs")
    copies.claim("old", "r2_cdn")
    assert copies.found() == [(AUDIO["r2_cdn"], "missing", copies.key("old"))]
    assert copies.check(repair=True).agrees
    assert copies.claims("old") == {"r2_cdn": False, "second": False}
    assert copies.row("old")["cdn_url"] is None
    copies.work()
    assert copies.claims("old")["r2_cdn"] is True
    assert copies.archive.s3.read(copies.buckets["r2_cdn"], copies.key("old")) == MELODY


def test_classic_copy_is_told_from_objects_of_others(copies: Copies) -> None:
    for name in ("claimed", "silent"):
        copies.insert(name, file_path=f"{name}.mp3")
        copies.put("r2_cdn", copies.key(name))
    copies.archive.sql("delete from cdn_sync_jobs")
    copies.claim("claimed", "r2_cdn")
    copies.put("r2_cdn", "audio/other.mp3")
    copies.put("r2_cdn", "audio/silent.txt")
    report = copies.check(repair=True)
    assert {f.key: f.kind for f in report.findings} == {
        copies.key("claimed"): "unrecorded",
        copies.key("silent"): "unrecorded",
        "audio/other.mp3": "foreign",
        "audio/silent.txt": "foreign",
    }
    assert report.agrees
    assert len(copies.keys("r2_cdn")) == 4
    assert copies.archive.one("select count(*) from cdn_sync_jobs") == 0


def test_what_is_not_below_the_prefixes_is_not_looked_at(copies: Copies) -> None:
    copies.put("r2_cdn", "media/upload.mp3")
    copies.put("r2_cdn", "audio.mp3")
    copies.put("r2_cdn", "audio0")
    assert copies.found() == []


def test_older_track_that_was_never_sent_is_no_finding(copies: Copies) -> None:
    copies.insert("old", file_path="old.mp3")
    copies.archive.sql("delete from cdn_sync_jobs")
    assert copies.found() == []


def test_copy_whose_work_is_open_is_left_alone(copies: Copies) -> None:
    copies.track("one")
    copies.remove("second", copies.key("one"))
    copies.archive.sql("update audio_tracks set metadata = '{}'")
    assert copies.found() == []


def test_outage_of_one_target_stops_no_other(copies: Copies) -> None:
    copies.track("one")
    for target in TARGETS:
        copies.remove(target, copies.key("one"))
    for key in copies.keys("r2_cdn"):
        copies.remove("r2_cdn", key)
    copies.archive.s3.boto.delete_bucket(Bucket=copies.buckets["r2_cdn"])
    report = copies.check(repair=True)
    assert [(f.place, f.repaired) for f in report.findings] == [(AUDIO["second"], True)]
    assert [p.place for p in report.places if p.error] == [AUDIO["r2_cdn"], SIDECARS["r2_cdn"]]
    assert copies.claims("one") == {"r2_cdn": True, "second": False}


def test_wrong_copy_without_a_source_is_said_to_be_lost(copies: Copies) -> None:
    copies.track("one")
    copies.archive.sql("update audio_tracks set file_path = null")
    copies.archive.sql("update cdn_sync_jobs set status = 'completed'")
    copies.put("second", copies.key("one"))
    (finding,) = copies.check(repair=True).findings
    assert not finding.repaired and "no other source" in finding.outcome
    assert copies.claims("one")["second"] is False


def test_places_that_overlap_are_looked_through_once(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDN_AUDIO_PREFIX", "media")
    monkeypatch.setenv("CDN_METADATA_PREFIX", "media/json")
    for bucket in ("COVER", "VIDEO"):
        monkeypatch.setenv(f"STORAGE_{bucket}_BUCKET", copies.archive.buckets["audio"])
    copies.insert("one", file_path="one.mp3")
    copies.archive.sql("delete from cdn_sync_jobs")
    copies.put("second", "media/json/one.json")
    copies.put("second", "media/one.mp3")
    report = copies.check()
    names = [place.place for place in report.places]
    assert names[1:] == ["cdn:r2_cdn/media/", "cdn:second/media/"]
    assert {f.key: f.kind for f in report.findings} == {
        "media/json/one.json": "unrecorded", "media/one.mp3": "unrecorded",
    }  # fmt: skip


def test_report_of_copies_is_json(copies: Copies) -> None:
    copies.track("one")
    copies.remove("second", copies.key("one"))
    found = json.loads(json.dumps(copies.check().as_json()))
    assert found["findings"][0]["repair"] == "the row says so no more, and it is sent again"
