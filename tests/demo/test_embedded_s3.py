from __future__ import annotations

import contextlib
import logging
import sys

import httpx
import pytest

from tests.support.buckets import S3ForTests
from worker.demo.embedded import EmbeddedS3
from worker.errors import Misconfigured


def test_buckets_can_be_asked_for_twice(s3: S3ForTests) -> None:
    name = s3.fresh_bucket()
    s3.boto.put_object(Bucket=name, Key="k", Body=b"still here")
    s3.create_buckets([name])
    assert s3.read(name, "k") == b"still here"


def test_a_presigned_url_takes_a_plain_upload(s3: S3ForTests) -> None:
    bucket = s3.fresh_bucket()
    url = s3.boto.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b.mp3"})
    assert httpx.put(url, content=b"bytes").status_code == 200
    assert s3.read(bucket, "a b.mp3") == b"bytes"


def test_it_listens_on_this_machine_only(s3: S3ForTests) -> None:
    assert s3.endpoint.startswith("http://127.0.0.1:")


def test_requests_are_not_logged(s3: S3ForTests, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        s3.fresh_bucket()
    assert [record for record in caplog.records if record.name == "werkzeug"] == []


def test_nothing_listens_after_stop() -> None:
    server = EmbeddedS3().start()
    endpoint = server.endpoint
    with contextlib.closing(server.client()) as client:
        assert "Buckets" in client.list_buckets()
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moto.server", None)
    with pytest.raises(Misconfigured, match=r"pip install 'media-worker\[embedded\]'"):
        EmbeddedS3()
