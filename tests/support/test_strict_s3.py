"""The strict server refuses what it says it refuses."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.handlers import add_expect_header

from tests.support.strict_s3 import StrictS3

MIB = 1024 * 1024


@dataclass
class Strict:
    server: StrictS3
    bucket: str
    client: Any


@pytest.fixture(scope="module")
def server() -> Iterator[StrictS3]:
    with StrictS3() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: StrictS3) -> Iterator[Any]:
    """A client that was told to leave checksums out, and not to ask before it sends."""
    client = client_of(server, request_checksum_calculation="when_required")
    client.meta.events.unregister("before-call.s3", add_expect_header)
    yield client
    client.close()


@pytest.fixture
def strict(server: StrictS3, client: Any) -> Strict:
    server.reset()
    return Strict(server, server.fresh_bucket(), client)


def client_of(server: StrictS3, secret: str = StrictS3.secret_access_key, **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="auto",
        aws_access_key_id=server.access_key_id,
        aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}, **config),
    )


def refusal(call: Any, **parameters: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def raw(strict: Strict, method: str, url: str, *fields: tuple[str, str], body: bytes = b"") -> int:
    connection = http.client.HTTPConnection(*strict.server.address)
    connection.putrequest(method, url.removeprefix(strict.server.endpoint))
    for field in fields:
        connection.putheader(*field)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_unsigned_request_is_refused(strict: Strict) -> None:
    assert raw(strict, "GET", f"/{strict.bucket}/a") == 401


def test_wrong_secret_is_refused(strict: Strict) -> None:
    client = client_of(strict.server, secret="wrong")
    at = {"Bucket": strict.bucket, "Key": "a"}
    assert refusal(client.get_object, **at) == (403, "SignatureDoesNotMatch")
    client.close()


def test_body_that_is_not_the_signed_one_is_refused(strict: Strict) -> None:
    strict.client.put_object(Bucket=strict.bucket, Key="a", Body=b"right")
    seen = strict.server.journal[-1]
    fields = [(name, value) for name, value in seen.headers.items() if name != "host"]
    assert raw(strict, "PUT", seen.path, *fields, body=b"wrong") == 400


def test_wrong_content_md5_is_refused(strict: Strict) -> None:
    parameters = {"Bucket": strict.bucket, "Key": "a", "Body": b"x", "ContentMD5": "AAAA"}
    assert refusal(strict.client.put_object, **parameters) == (400, "BadDigest")


def test_streaming_sums_are_refused(strict: Strict) -> None:
    url = strict.client.generate_presigned_url(
        "put_object", Params={"Bucket": strict.bucket, "Key": "a"}
    )
    chunked = ("Content-Encoding", "aws-chunked"), ("Content-Length", "0")
    assert raw(strict, "PUT", url, *chunked) == 501
    assert raw(strict, "PUT", url, ("Transfer-Encoding", "chunked")) == 501
    assert raw(strict, "PUT", url, ("x-amz-trailer", "x"), ("Content-Length", "0")) == 403


def test_body_without_a_length_is_refused(strict: Strict) -> None:
    url = strict.client.generate_presigned_url(
        "put_object", Params={"Bucket": strict.bucket, "Key": "a"}
    )
    assert raw(strict, "PUT", url) == 411


def test_header_that_was_not_signed_is_refused(strict: Strict) -> None:
    url = strict.client.generate_presigned_url(
        "get_object", Params={"Bucket": strict.bucket, "Key": "a"}
    )
    assert raw(strict, "GET", url, ("x-amz-meta-a", "b")) == 403


@pytest.mark.parametrize(
    ("sizes", "code"),
    [
        ((1, 1), "EntityTooSmall"),
        ((6 * MIB, 5 * MIB, 1), "InvalidPart"),
        ((5 * MIB, 6 * MIB), "InvalidPart"),
    ],
)
def test_small_and_unequal_parts_are_refused(
    strict: Strict, sizes: tuple[int, ...], code: str
) -> None:
    at = {"Bucket": strict.bucket, "Key": "a"}
    at["UploadId"] = strict.client.create_multipart_upload(**at)["UploadId"]
    parts = []
    for number, size in enumerate(sizes, 1):
        sent = strict.client.upload_part(**at, PartNumber=number, Body=bytes(size))
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    complete = strict.client.complete_multipart_upload
    assert refusal(complete, **at, MultipartUpload={"Parts": parts}) == (400, code)


def test_second_write_of_a_key_within_a_second_is_refused(strict: Strict) -> None:
    strict.server.clock = lambda: 0.0
    at = {"Bucket": strict.bucket, "Key": "a", "Body": b"x"}
    strict.client.put_object(**at)
    strict.client.put_object(**at | {"Key": "b"})
    assert refusal(strict.client.put_object, **at) == (429, "TooManyRequests")


def test_acl_and_tagging_are_not_implemented(strict: Strict) -> None:
    at = {"Bucket": strict.bucket, "Key": "a"}
    client = strict.client
    assert refusal(client.put_object, **at, Body=b"", ACL="public-read")[0] == 501
    assert refusal(client.get_object_tagging, **at)[0] == 501
    assert refusal(client.get_bucket_acl, Bucket=strict.bucket)[0] == 501


def test_range_is_answered_with_that_part(strict: Strict) -> None:
    at = {"Bucket": strict.bucket, "Key": "a"}
    strict.client.put_object(**at, Body=b"0123456789")
    for span, part in (("bytes=2-4", b"234"), ("bytes=8-", b"89"), ("bytes=-3", b"789")):
        assert strict.client.get_object(**at, Range=span)["Body"].read() == part
    assert refusal(strict.client.get_object, **at, Range="bytes=10-") == (416, "InvalidRange")


def test_plain_boto3_is_seen_to_ask_before_it_sends(strict: Strict) -> None:
    client = client_of(strict.server, request_checksum_calculation="when_required")
    client.put_object(Bucket=strict.bucket, Key="a", Body=b"x")
    assert strict.server.journal[-1].headers["expect"] == "100-continue"
    client.close()
