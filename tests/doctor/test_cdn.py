"""Findings about the CDN: its targets, its cache, and what is left of former targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.archive.conftest import Archive
from tests.doctor.conftest import Examine
from worker.demo.behaviour import document, refusal
from worker.demo.provider import Provider
from worker.doctor.model import Finding
from worker.doctor.report import examine

Sick = Callable[..., list[Finding]]
TOKEN = "hush-hush"
BUNNY = {
    "CDN_BUNNY_ENDPOINT": "http://127.0.0.1:1",
    "CDN_BUNNY_ACCESS_KEY_ID": "id",
    "CDN_BUNNY_SECRET_ACCESS_KEY": TOKEN,
    "CDN_BUNNY_BUCKET": "copies",
}


@pytest.fixture
def target(archive: Archive) -> dict[str, str]:
    """The settings of a CDN target that works."""
    return {
        "R2_ENDPOINT": archive.env["STORAGE_ENDPOINT"],
        "R2_ACCESS_KEY_ID": archive.env["STORAGE_ACCESS_KEY_ID"],
        "R2_SECRET_ACCESS_KEY": archive.env["STORAGE_SECRET_ACCESS_KEY"],
        "R2_BUCKET_NAME": archive.s3.fresh_bucket("cdn"),
        "R2_PUBLIC_URL": "https://cdn.example.org/files",
    }


@pytest.fixture
def cloudflare(provider: Provider) -> dict[str, str]:
    """The settings of a purge that works."""
    provider.serve("/zones/0123abc/purge_cache", document({"success": True}))
    return {
        "CLOUDFLARE_ZONE_ID": "0123abc",
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_API_BASE": provider.url(""),
    }


def about(findings: Sequence[Finding], text: str) -> Finding:
    found = [finding for finding in findings if text in finding.what]
    assert len(found) == 1, findings
    return found[0]


def know_targets(archive: Archive, *names: str) -> None:
    archive.sql("select media_worker.cdn_configure(%s)", list(names))


def insert_work(archive: Archive, target: str) -> None:
    """Let a track wait for a target that is known for a moment."""
    know_targets(archive, target)
    archive.sql("insert into audio_tracks (track_id, file_path) values ('a', 'a.mp3')")


def test_cdn_that_is_off_is_noted_with_what_it_needs() -> None:
    finding = about(examine(), "cdn is off")
    assert finding.level == "note"
    assert "R2_ACCESS_KEY_ID" in finding.mend


def test_target_without_settings_is_named(look: Examine, target: dict[str, str]) -> None:
    finding = about(look(target | {"CDN_TARGETS": "r2_cdn,bunny"}), "bunny is off")
    assert finding.level == "warning"
    assert all(name in finding.mend for name in BUNNY)


def test_half_configured_target_is_an_error(look: Examine) -> None:
    half = {name: value for name, value in BUNNY.items() if name != "CDN_BUNNY_BUCKET"}
    finding = about(look(half | {"CDN_TARGETS": "bunny"}), "CDN_BUNNY_BUCKET missing")
    assert finding.level == "error"


@pytest.mark.parametrize("name", ["CLOUDFLARE_ZONE_ID", "CLOUDFLARE_API_TOKEN"])
def test_half_configured_purge_is_an_error(look: Examine, name: str) -> None:
    both = {"CLOUDFLARE_ZONE_ID": "0123abc", "CLOUDFLARE_API_TOKEN": TOKEN}
    finding = about(look({key: both[key] for key in both if key != name}), f"{name} missing")
    assert finding.level == "error"


def test_name_of_a_zone_is_not_its_id(look: Examine) -> None:
    env = {"CLOUDFLARE_ZONE_ID": "example.org", "CLOUDFLARE_API_TOKEN": TOKEN}
    assert about(look(env), "CLOUDFLARE_ZONE_ID").level == "error"


def test_token_that_fits_no_header_is_an_error_that_does_not_quote_it(look: Examine) -> None:
    env = {"CLOUDFLARE_ZONE_ID": "0123abc", "CLOUDFLARE_API_TOKEN": "hush húsh"}
    finding = about(look(env), "CLOUDFLARE_API_TOKEN")
    assert finding.level == "error"
    assert "hush" not in repr(finding)


def test_purge_is_tried_with_an_address_that_nobody_uses(
    look: Examine, target: dict[str, str], cloudflare: dict[str, str], provider: Provider
) -> None:
    findings = look(target | cloudflare)
    assert not [finding for finding in findings if "purge" in finding.what]
    (request,) = provider.requests()
    assert b"https://cdn.example.org/files/audio/media-worker-doctor" in request.body


def test_purge_that_fails_names_the_settings(
    look: Examine, target: dict[str, str], cloudflare: dict[str, str], provider: Provider
) -> None:
    provider.serve("/zones/0123abc/purge_cache", refusal(403))
    finding = about(look(target | cloudflare), "403")
    assert finding.level == "error"
    assert "CLOUDFLARE_API_TOKEN" in finding.mend
    assert "R2_PUBLIC_URL" in finding.mend
    assert TOKEN not in repr(finding)


def test_purge_without_a_public_target_is_of_no_use(
    look: Examine, target: dict[str, str], cloudflare: dict[str, str]
) -> None:
    finding = about(look(target | cloudflare | {"R2_PUBLIC_URL": ""}), "nothing is purged")
    assert finding.level == "warning"


def test_known_and_configured_target_is_no_complaint(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    insert_work(archive, "r2_cdn")
    assert sick(**target) == []


def test_tracks_that_no_target_is_known_for_are_told(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    archive.sql("insert into audio_tracks (track_id, file_path) values ('a', 'a.mp3')")
    finding = about(sick(), "until a CDN target is known: 1")
    assert "R2_BUCKET_NAME" in finding.mend
    assert about(sick(**target), "until a CDN target").mend == "media-worker run"


def test_tracks_that_wait_for_a_moment_are_no_complaint(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    archive.sql("insert into audio_tracks (track_id, file_path) values ('b', 'b.mp3')")
    insert_work(archive, "r2_cdn")
    assert sick(**target) == []


def test_work_that_waits_for_a_target_without_settings_is_told(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    insert_work(archive, "bunny")
    finding = about(sick(**target, CDN_TARGETS="r2_cdn,bunny"), "work waits for")
    assert finding.level == "warning"
    assert "CDN_BUNNY_ENDPOINT" in finding.mend


def test_target_that_was_taken_out_with_work_is_told(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    insert_work(archive, "bunny")
    finding = about(sick(**target), "bunny is in CDN_TARGETS no more")
    assert finding.level == "warning"
    assert "work that waits for it: 1" in finding.what
    archive.sql(finding.mend.rpartition("for good: ")[2].partition(";")[0])
    assert sick(**target) == []


def test_target_that_was_taken_out_with_copies_is_told(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    know_targets(archive, "bunny")
    archive.sql(
        "insert into media_worker.objects (service, bucket, object_key, owner_table, owner_id,"
        " role, source_hash, state) values"
        " ('cdn:bunny', 'copies', 'audio/a.mp3', 'audio_tracks', 'a', 'audio', 'x', 'live')"
    )
    finding = about(sick(**target), "bunny is in CDN_TARGETS no more")
    assert "it holds objects of ours: 1" in finding.what


def test_workers_with_other_targets_are_told(
    archive: Archive, sick: Sick, target: dict[str, str]
) -> None:
    know_targets(archive, "bunny", "r2_cdn")
    assert sick(**target) == []  # nobody works with them
    archive.sql(
        "insert into media_worker.workers (worker_id, host, pid, version, queues)"
        " values (gen_random_uuid(), 'elsewhere', 1, '0', '{cdn}')"
    )
    finding = about(sick(**target), "name the CDN targets bunny, r2_cdn")
    assert "CDN_TARGETS here is r2_cdn" in finding.what
