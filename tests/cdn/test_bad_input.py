"""What no copy can be made of: the write succeeds, and the job says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cdn.site import MELODY, SECOND, Site
from worker.demo.behaviour import Behaviour, document, page, redirect, refusal
from worker.demo.bodies import Bytes, GeneratedMp3

ZIP = Bytes(b"PK\x03\x04" + bytes(1000), "audio/mpeg")


def test_what_is_no_audio_is_refused_for_good(site: Site) -> None:
    serve = site.provider.serve
    site.insert("zip", serve("/zip.mp3", Behaviour(ZIP)))
    site.insert("html", serve("/html.mp3", page()))
    site.insert("large", serve("/large.mp3", Behaviour(GeneratedMp3(1, 600 * 2**20))))
    site.insert("endless", serve("/endless.mp3", Behaviour(GeneratedMp3(1, None), framing="close")))
    site.insert("loop", serve("/loop.mp3", redirect("/loop.mp3")))
    site.insert("private", "http://10.0.0.1/a.mp3")
    site.insert("missing", serve("/missing.mp3", refusal(404)))
    site.source.put("renamed.mp3", b"PK\x03\x04" + bytes(1000))
    site.insert("renamed", "renamed.mp3")
    site.source.put("long.mp3", bytes(2_000_001))
    site.insert("long", "long.mp3")
    site.insert("../../x", "renamed.mp3")
    site.insert("ü", "renamed.mp3")
    site.insert("dots", "../renamed.mp3")
    site.insert("good")
    worker = site.work(CDN_MAX_BYTES="2000000")
    assert worker.returncode == 1
    failed = {
        row["track_id"]: row["error_message"]
        for row in site.sql("select * from cdn_sync_jobs where status = 'failed'")
    }
    said = {
        "zip": "ZIP",
        "html": "HTML",
        "large": "2000000 bytes",
        "endless": "2000000 bytes",
        "loop": "redirects",
        "private": "DOWNLOAD_ALLOW_NETWORKS",
        "missing": "404",
        "renamed": "ZIP",
        "long": "CDN_MAX_BYTES",
        "../../x": "plain relative path",
        "ü": "ASCII",
        "dots": "plain relative path",
    }
    assert failed.keys() == said.keys()
    assert [(name, text) for name, text in said.items() if text not in failed[name]] == []
    assert site.one("select max(attempts) from cdn_sync_jobs") == 1
    site.assert_copied("good")
    assert len(site.first.keys()) == len(site.second.keys()) == 2
    assert sum(request.sent for request in site.provider.requests("/large.mp3")) < 50_000_000


def test_600_mib_are_over_the_limit_as_it_comes(site: Site) -> None:
    site.insert("large", site.provider.url(f"/generated/1/{600 * 2**20}.mp3"))
    site.work()
    assert site.job("large")["status"] == site.job("large", SECOND)["status"] == "failed"
    assert str(500 * 2**20) in site.job("large")["error_message"]
    assert site.first.keys() == site.second.keys() == []


def test_unsafe_track_can_be_deleted(site: Site) -> None:
    site.insert("../../x")
    site.work()
    site.delete("../../x")
    site.work()
    assert site.job("../../x")["status"] == site.job("../../x", SECOND)["status"] == "completed"
    assert site.first.keys() == []


def test_source_that_fails_for_now_is_counted_and_given_up_after_eight_tries(site: Site) -> None:
    site.insert("t1", site.provider.serve("/a.mp3", refusal(503)))
    site.start(RETRY_DELAYS="0.05")
    job = site.wait_for_job("t1", "failed")
    assert job["attempts"] == 8 and "503" in job["error_message"]


def test_missing_key_that_arrives_later_is_found(site: Site) -> None:
    site.insert("t1", "later.mp3")
    site.start()
    site.wait_for("select min(error_message) ~ 'later.mp3' from cdn_sync_jobs")
    assert site.one("select max(attempts) from cdn_sync_jobs where status = 'pending'") == 0
    site.source.put("later.mp3", MELODY)
    site.wait_for_rest()
    site.assert_copied("t1")


def test_missing_key_is_given_up_after_a_day(site: Site) -> None:
    site.insert("t1", "never.mp3")
    site.sql("update cdn_sync_jobs set wanted_since = now() - interval '25 hours'")
    site.work()
    job = site.job("t1")
    assert job["status"] == "failed" and "never.mp3" in job["error_message"]


@pytest.mark.parametrize(
    "sidecar", [b"<html></html>", b'{"a": NaN}', b"\xff\xfe", b'{"a": 1'], ids=repr
)
def test_sidecar_that_is_not_json_gives_way_to_the_metadata(site: Site, sidecar: bytes) -> None:
    site.source.put("x.json", sidecar)
    site.insert("named", sidecar_path="x.json", metadata={"a": 1})
    site.source.put("songs/beside.json", sidecar)
    site.insert("beside", metadata={"a": 1})
    site.work()
    for name in ("named", "beside"):
        site.assert_copied(name, sidecar={"a": 1, "track_id": name})
        job = site.job(name)
        assert job["status"] == "completed" and "JSON" in job["error_message"]


def test_sidecars_come_from_where_the_row_says(site: Site) -> None:
    site.source.put("x.json", b'{"named": 1}')
    site.source.put("songs/named.json", b'{"beside": 1}')
    site.source.put("songs/beside.json", b'{"beside": 1}')
    url = site.provider.serve("/x.json", document({"url": 1}))
    tracks: dict[str, Any] = {
        "named": ("x.json", {"named": 1}),
        "beside": (None, {"beside": 1}),
        "url": (url, {"url": 1}),
        "none": (None, {"meta": 1, "track_id": "none"}),
        "gone": (site.provider.serve("/gone.json", refusal(404)), {"meta": 1, "track_id": "gone"}),
    }
    for name, (path, _) in tracks.items():
        site.insert(name, sidecar_path=path, metadata={"meta": 1})
    site.work()
    for name, (_, found) in tracks.items():
        site.assert_copied(name, sidecar=found)
    assert "404" in site.job("gone")["error_message"]
    assert site.first.read("metadata/named.json") == b'{"named": 1}'


def test_sidecar_that_arrives_a_little_later_is_found(site: Site) -> None:
    site.start(RETRY_DELAYS="1,1,8").wait_for_log("worker started")
    site.insert("t1", sidecar_path="later.json")
    site.wait_for("select count(*) = 2 from cdn_sync_jobs where status = 'pending'"
                  " and cdn_url is not null and error_message ~ 'later.json'")  # fmt: skip
    site.assert_copied("t1")
    site.source.put("later.json", b'{"late": true}')
    site.wait_for_rest(timeout=40)
    site.assert_copied("t1", sidecar={"late": True})
    assert site.job("t1")["error_message"] is None
