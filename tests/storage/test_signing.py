"""Presigned URLs are those that botocore makes."""

from __future__ import annotations

import random
import string
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from worker.storage.client import make_client
from worker.storage.config import StorageTarget
from worker.storage.keys import BadKey
from worker.storage.signing import Signer

TARGET = StorageTarget(
    "storage", "https://files.test/storage/v1/s3", "eu-1", "fake-id", "fake-secret", "tracks"
)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENDPOINTS = [
    "http://127.0.0.1:9000",
    "http://files.test:80/",
    "https://Files.Test",
    "https://files.test:443/storage/v1/s3",
    "https://files.test:80",
    "http://[::1]:9000",
    "https://[2001:db8::1]/s3",
]
KEY_LETTERS = string.ascii_letters + string.digits + " ~-_.!*'()+&=$@:,;?#[]{}|^`\"<>%/"


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """The moment in which botocore signs."""
    for module in ("botocore.auth", "botocore.compat"):
        monkeypatch.setattr(
            f"{module}.get_current_datetime",
            lambda remove_tzinfo=True: moment.replace(tzinfo=None),
            raising=False,
        )


@pytest.mark.parametrize("key", ["a.mp3", "user id/track~1 +&=.mp3", "x/(y)'!*"])
def test_put_is_signed_as_by_the_client(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MOMENT)
    headers = {"Content-Type": "audio/mpeg", "Content-Length": "5", "Cache-Control": "no-cache"}
    ours = Signer(TARGET).presign("PUT", key, expires_in=60, headers=headers, now=MOMENT)
    theirs = by_client(
        "put_object", Key=key, ContentType="audio/mpeg", ContentLength=5, CacheControl="no-cache"
    )
    assert ours == theirs


def test_part_is_signed_as_by_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, MOMENT)
    query = {"partNumber": "7", "uploadId": "an/upload+id="}
    headers = {"Content-Length": "5"}
    ours = Signer(TARGET).presign(
        "PUT", "a", expires_in=60, headers=headers, query=query, now=MOMENT
    )
    theirs = by_client(
        "upload_part", Key="a", PartNumber=7, UploadId="an/upload+id=", ContentLength=5
    )
    assert parts(ours) == parts(theirs)


@pytest.mark.parametrize("seed", range(100))
def test_any_request_is_signed_as_by_botocore(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    target = any_target(dice)
    signer = Signer(target)
    for _ in range(3):  # one after another, so that what is kept from the first must fit the next
        moment = MOMENT + timedelta(hours=dice.randrange(60))
        at(monkeypatch, moment)
        request = {
            "expires_in": dice.randrange(1, 604_801),
            "headers": any_headers(dice),
            "query": any_query(dice),
        }
        method, key = dice.choice(["GET", "PUT", "HEAD", "DELETE"]), any_key(dice)
        ours = signer.presign(method, key, now=moment, **request)
        assert parts(ours) == parts(by_botocore(target, method, key, **request))


def test_url_is_of_now() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    url = Signer(TARGET).presign("GET", "a", expires_in=5)
    date = next(part for part in parts(url)[1] if part.startswith("X-Amz-Date="))
    signed_at = datetime.strptime(f"{date}+0000", "X-Amz-Date=%Y%m%dT%H%M%SZ%z")
    assert before <= signed_at <= datetime.now(UTC)


def test_hostile_key_is_not_signed() -> None:
    with pytest.raises(BadKey):
        Signer(TARGET).presign("GET", "../b", expires_in=5)


def test_signer_shows_no_secret() -> None:
    signer = Signer(TARGET)
    signer.presign("GET", "a", expires_in=5)
    assert "fake-secret" not in f"{signer!r} {vars(signer)['_known_day']!r}"


def any_target(dice: random.Random) -> StorageTarget:
    secret = "".join(dice.choices(string.ascii_letters + "/+", k=40))
    region = dice.choice(["auto", "us-east-1", "eu-1", ""])
    return StorageTarget(
        "storage", dice.choice(ENDPOINTS), region, f"AK/{dice.random()}+ä", secret, "tracks.a_b-c"
    )


def any_key(dice: random.Random) -> str:
    letters = "".join(dice.choices(KEY_LETTERS, k=dice.randrange(1, 40)))
    segments = [part for part in letters.split("/") if part.strip(".")] or ["a"]
    return "/".join(segments).replace("%", "%!")


def any_headers(dice: random.Random) -> dict[str, str]:
    all_of_them = {
        "Content-Type": "audio/mpeg; codecs=x",
        "Content-Length": str(dice.randrange(10**9)),
        "Cache-Control": "  public,   max-age=60 ",
        "x-amz-meta-Name": "a b",
    }
    return {name: value for name, value in all_of_them.items() if dice.random() < 0.5}


def any_query(dice: random.Random) -> dict[str, str]:
    all_of_them = {
        "partNumber": str(dice.randrange(1, 10_001)),
        "uploadId": "".join(dice.choices(KEY_LETTERS, k=20)),
        "a-b": "1",
        "a": "x-amz",
        "X-Amz-Z": "é",
    }
    return {name: value for name, value in all_of_them.items() if dice.random() < 0.5}


def by_botocore(
    target: StorageTarget,
    method: str,
    key: str,
    *,
    expires_in: int,
    headers: dict[str, str],
    query: dict[str, str],
) -> str:
    url = f"{target.endpoint.rstrip('/')}/{target.bucket}/{quote(key, safe='/~')}"
    if query:
        url += f"?{urlencode(query, quote_via=quote)}"
    request = AWSRequest(method, url, headers=dict(headers))
    credentials = Credentials(target.access_key_id, target.secret_access_key)
    region = target.region or "auto"
    S3SigV4QueryAuth(credentials, "s3", region, expires=expires_in).add_auth(request)
    return str(request.url)


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
