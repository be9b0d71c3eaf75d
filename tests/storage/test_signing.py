"""Presigned URLs are those that boto3's client makes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from worker.storage.client import make_client
from worker.storage.config import StorageTarget
from worker.storage.signing import presign

TARGET = StorageTarget(
    "storage", "https://files.test/storage/v1/s3", "eu-1", "fake-id", "fake-secret", "tracks"
)


@pytest.fixture
def same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both signers see one time."""
    moment = datetime(2026, 1, 2, 3, 4, 5)
    for module in ("botocore.auth", "botocore.compat"):
        monkeypatch.setattr(
            f"{module}.get_current_datetime", lambda remove_tzinfo=True: moment, raising=False
        )


@pytest.mark.parametrize("key", ["a.mp3", "user id/träck~1 +&=.mp3".replace("ä", "a"), "x/(y)'!*"])
def test_put_is_signed_as_by_the_client(same_moment: None, key: str) -> None:
    headers = {"Content-Type": "audio/mpeg", "Content-Length": "5", "Cache-Control": "no-cache"}
    ours = presign(TARGET, "PUT", key, expires_in=60, headers=headers)
    theirs = by_client(
        "put_object", Key=key, ContentType="audio/mpeg", ContentLength=5, CacheControl="no-cache"
    )
    assert ours == theirs


def test_part_is_signed_as_by_the_client(same_moment: None) -> None:
    query = {"partNumber": "7", "uploadId": "an/upload+id="}
    ours = presign(TARGET, "PUT", "a", expires_in=60, headers={"Content-Length": "5"}, query=query)
    theirs = by_client(
        "upload_part", Key="a", PartNumber=7, UploadId="an/upload+id=", ContentLength=5
    )
    assert parts(ours) == parts(theirs)


def by_client(call: str, **parameters: Any) -> str:
    client = make_client(TARGET)
    try:
        url: str = client.generate_presigned_url(
            call, Params={"Bucket": TARGET.bucket, **parameters}, ExpiresIn=60
        )
        return url
    finally:
        client.close()


def parts(url: str) -> tuple[str, set[str]]:
    path, _, query = url.partition("?")
    return path, set(query.split("&"))
