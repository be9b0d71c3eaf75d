"""Stores on the servers of the tests, streams that are hard to read, and a plain HTTP client."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from typing import Any

from tests.support.buckets import S3ForTests
from tests.support.strict_s3 import StrictS3
from worker.storage import ObjectStore, StorageTarget
from worker.storage.client import make_client

Server = S3ForTests | StrictS3
BODY = b"\xff\xfb\x90\x64" * 500


def store_on(server: Server, clients: dict[str, Any], **options: Any) -> ObjectStore:
    target = StorageTarget(
        "cdn:r2_cdn",
        server.endpoint,
        server.region,
        server.access_key_id,
        server.secret_access_key,
        server.fresh_bucket(),
        bucket_in_public_url=False,
    )
    if server.endpoint not in clients:
        clients[server.endpoint] = make_client(target)
    return ObjectStore(target, client=clients[server.endpoint], **options)


class Unseekable(io.RawIOBase):
    """A stream like that of a socket: short reads, no length."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(memoryview(buffer)[:70_000])


class OnlyRead:
    """The least that can be called a binary stream."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def stored(store: ObjectStore, key: str) -> bytes:
    with store.download(key) as body:
        return body.read()


def fetch(url: str, *, method: str = "GET", data: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def status_of(url: str, **request: Any) -> int:
    """The status of the answer."""
    try:
        fetch(url, **request)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200
