"""Findings about the storage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.archive.conftest import Archive
from worker.doctor.model import Finding

Sick = Callable[..., list[Finding]]


def test_missing_bucket_is_named_and_created_by_fix(archive: Archive, sick: Sick) -> None:
    (finding,) = sick(STORAGE_COVER_BUCKET="covers-to-come")
    assert finding.level == "error"
    assert "covers-to-come does not exist" in finding.what
    assert "aws s3 mb s3://covers-to-come" in finding.mend
    assert sick(STORAGE_COVER_BUCKET="covers-to-come", fix=True) == []
    assert archive.keys("cover") == []
    assert archive.s3.keys("covers-to-come") == []


@pytest.mark.parametrize("region", ["auto", "us-east-1", "eu-central-1"])
def test_bucket_is_created_in_the_region_of_the_settings(
    archive: Archive, sick: Sick, region: str
) -> None:
    name = f"audio-in-{region}"
    assert sick(STORAGE_AUDIO_BUCKET=name, STORAGE_REGION=region, fix=True) == []
    assert archive.s3.keys(name) == []


def test_storage_that_does_not_answer_is_an_error_per_bucket(archive: Archive, sick: Sick) -> None:
    findings = sick(STORAGE_ENDPOINT="http://127.0.0.1:1")
    assert [finding.level for finding in findings] == ["error"] * 3
    assert all("127.0.0.1:1" in finding.what for finding in findings)
    assert archive.env["STORAGE_SECRET_ACCESS_KEY"] not in repr(findings)


def test_looking_leaves_nothing_in_the_buckets(archive: Archive, sick: Sick) -> None:
    assert sick() == []
    assert [archive.keys(role) for role in archive.buckets] == [[], [], []]


def test_bucket_of_a_cdn_target_is_looked_at_too(archive: Archive, sick: Sick) -> None:
    cdn = {
        "R2_ENDPOINT": archive.env["STORAGE_ENDPOINT"],
        "R2_ACCESS_KEY_ID": archive.env["STORAGE_ACCESS_KEY_ID"],
        "R2_SECRET_ACCESS_KEY": archive.env["STORAGE_SECRET_ACCESS_KEY"],
        "R2_BUCKET_NAME": "cdn-to-come",
    }
    (finding,) = sick(**cdn)
    assert "cdn-to-come does not exist" in finding.what
    assert sick(**cdn, fix=True) == []
