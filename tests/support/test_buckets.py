from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.support.buckets import S3ForTests


def test_buckets_are_fresh_and_show_what_is_in_them(s3: S3ForTests) -> None:
    audio, covers = s3.fresh_buckets("audio", "covers")
    s3.boto.put_object(Bucket=audio, Key="b/2", Body=b"two", ContentType="audio/mpeg")
    s3.boto.put_object(Bucket=audio, Key="a/1", Body=b"one")
    assert s3.keys(audio) == ["a/1", "b/2"]
    assert s3.read(audio, "b/2") == b"two"
    assert s3.head(audio, "b/2")["ContentType"] == "audio/mpeg"
    assert s3.keys(covers) == []


def test_open_uploads_are_seen(s3: S3ForTests) -> None:
    bucket = s3.fresh_bucket()
    s3.boto.create_multipart_upload(Bucket=bucket, Key="half")
    assert s3.open_uploads(bucket) == ["half"]


def test_a_missing_object_is_an_error(s3: S3ForTests) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.read(s3.fresh_bucket(), "missing")
