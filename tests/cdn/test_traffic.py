"""What is there already is not sent again, and what two targets need is fetched once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cdn.site import MELODY, Place, Site
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import GeneratedMp3, media
from worker.demo.provider import Request

WAV = media("chime.wav").content
BIG = GeneratedMp3(3, 3_000_000)
# more than the sockets between can hold
HUGE = GeneratedMp3(4, 16_000_000)


def puts(site: Site) -> tuple[int, int]:
    return site.first.front.count("PUT"), site.second.front.count("PUT")


def downloads(site: Site, path: str) -> list[Request]:
    return [request for request in site.provider.requests(path) if request.sent == HUGE.size]


def test_one_download_feeds_both_targets(site: Site) -> None:
    urls = [site.provider.serve(f"/{n}.mp3", Behaviour(BIG)) for n in range(5)]
    site.start()
    for number, url in enumerate(urls):
        site.insert(f"t{number}", url)
    site.wait_for_rest()
    for number in range(5):
        site.assert_copied(f"t{number}", b"".join(BIG.blocks()))
        assert site.row(f"t{number}")["storage_locations"].get("supabase") is None
        assert len(site.provider.requests(f"/{number}.mp3")) == 1
    assert puts(site) == (10, 10)


def test_object_in_the_source_bucket_is_read_once_for_both_targets(site: Site) -> None:
    site.start()
    site.insert("t1")
    site.wait_for_rest()
    site.assert_copied("t1")
    asked = [path for path, _ in site.source.front.requests("GET")]
    assert len([path for path in asked if path.endswith("/songs/t1.mp3")]) == 1
    assert site.source.front.count("PUT") == 0


def test_asking_again_sends_and_downloads_nothing(site: Site) -> None:
    site.insert("key")
    site.insert("url", site.provider.serve("/a.mp3", Behaviour(HUGE)))
    site.insert("untagged", site.provider.serve("/b.mp3", Behaviour(HUGE, etag="")))
    site.work()
    before, row = puts(site), site.row("key")
    reads = site.source.front.count("GET")
    site.sql("select sync_tracks_to_cdn(array['key', 'url', 'untagged'])")
    site.work()
    assert puts(site) == before
    assert site.row("key") == row
    # of the audio nothing but its state is looked at; a sidecar is looked for beside it
    again = site.source.front.requests("GET")[reads:]
    assert not [path for path, _ in again if path.endswith(".mp3")]
    assert len(downloads(site, "/a.mp3")) == 1
    assert len(downloads(site, "/b.mp3")) == 2  # only the bytes can tell
    assert {job["error_message"] for job in site.sql("select * from cdn_sync_jobs")} == {None}


def test_same_bytes_from_elsewhere_are_not_sent_again(site: Site) -> None:
    site.insert("t1")
    site.work()
    before = puts(site)
    site.source.put("moved.mp3", MELODY)
    site.update("t1", "file_path = 'moved.mp3'")
    site.work()
    assert puts(site) == before
    site.assert_copied("t1")


def test_object_that_was_overwritten_in_the_source_bucket_is_sent_again(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.source.put("songs/t1.mp3", WAV)
    site.sql("select sync_to_cdn('t1')")
    site.work()
    site.assert_copied("t1", WAV)


def test_copy_that_is_gone_or_damaged_is_sent_again(site: Site) -> None:
    site.insert("t1")
    site.work()
    site.first.remove("audio/t1.mp3")
    site.second.put("metadata/t1.json", b"{}", ContentType="application/json")
    before = puts(site)
    site.sql("select sync_to_cdn('t1')")
    site.work()
    site.assert_copied("t1")
    assert puts(site) == (before[0] + 1, before[1] + 1)


def test_what_an_earlier_system_has_put_there_is_adopted(site: Site) -> None:
    for place in site.targets.values():
        put(place, "audio/t1.mp3", MELODY, "audio/mpeg", 3600)
        put(place, "metadata/t1.json", b'{"track_id": "t1"}', "application/json", 300)
    site.insert("t1")
    site.work()
    assert puts(site) == (0, 0)
    site.assert_copied("t1")
    site.delete("t1")
    site.work()
    site.assert_nowhere("t1")


@pytest.mark.parametrize("wrong", [{"data": WAV}, {"kind": "audio/wav"}, {"seconds": 60}], ids=str)
def test_what_is_not_as_it_should_be_is_overwritten(site: Site, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"data": MELODY, "kind": "audio/mpeg", "seconds": 3600, **wrong}
    put(site.first, "audio/t1.mp3", **given)
    site.insert("t1")
    site.work()
    site.assert_copied("t1")
    assert site.first.head("audio/t1.mp3")["ContentType"] == "audio/mpeg"
    assert site.first.head("audio/t1.mp3")["CacheControl"] == "public, max-age=3600"


def test_object_of_the_same_account_is_copied_by_the_storage(site: Site) -> None:
    site.insert("t1")
    site.work(
        STORAGE_ENDPOINT=site.first.front.endpoint,
        STORAGE_ACCESS_KEY_ID=site.env["R2_ACCESS_KEY_ID"],
    )
    site.assert_copied("t1")
    audio = site.first.head("audio/t1.mp3")
    assert (audio["ContentType"], audio["CacheControl"]) == ("audio/mpeg", "public, max-age=3600")
    assert _sent(site.first) == [0]
    assert _sent(site.second) == [len(MELODY)]
    before = puts(site)
    site.sql("select sync_to_cdn('t1')")
    site.work(
        STORAGE_ENDPOINT=site.first.front.endpoint,
        STORAGE_ACCESS_KEY_ID=site.env["R2_ACCESS_KEY_ID"],
    )
    assert puts(site) == before


def _sent(place: Place) -> list[int]:
    """The sizes of what was put at the audio's key."""
    return [size for path, size in place.front.requests("PUT") if path.endswith("/audio/t1.mp3")]


def put(place: Place, key: str, data: bytes, kind: str, seconds: int) -> None:
    place.put(key, data, ContentType=kind, CacheControl=f"public, max-age={seconds}")
