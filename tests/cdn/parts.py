"""cdn's parts that read from real servers, put together for a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from tests.support.buckets import S3ForTests
from worker.cdn.locations import Locations
from worker.cdn.model import Track
from worker.cdn.originals import Reading
from worker.cdn.sidecar import MOST_BYTES
from worker.cdn.sources import Sources
from worker.download import Downloader, DownloadPolicy
from worker.storage import ObjectStore, StorageTarget

MOST = 10_000_000


def target(s3: S3ForTests, bucket: str, service: str = "storage", **more: Any) -> StorageTarget:
    return StorageTarget(
        service=service,
        endpoint=s3.endpoint,
        region="us-east-1",
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
        bucket=bucket,
        **more,
    )


@dataclass
class SourceParts:
    """Sources on a source bucket, another one of the team's, and a target's bucket."""

    s3: S3ForTests
    source: ObjectStore
    other: ObjectStore
    cdn: ObjectStore
    sources: Sources
    executor: ThreadPoolExecutor

    def put(self, key: str, data: bytes) -> None:
        self.s3.boto.put_object(Bucket=self.source.target.bucket, Key=key, Body=data)


@contextmanager
def source_parts(s3: S3ForTests, *, team: bool = True) -> Iterator[SourceParts]:
    names = s3.fresh_buckets("source", "other", "cdn")
    source, other = (
        ObjectStore(target(s3, name, public_url="https://media.example.com")) for name in names[:2]
    )
    cdn = ObjectStore(
        target(
            s3, names[2], "cdn:r2_cdn",
            public_url="https://cdn.example.com", bucket_in_public_url=False,
        )
    )  # fmt: skip
    stores = [source, other] if team else []
    with ThreadPoolExecutor(8) as executor:
        reading = Reading(_downloader(MOST), executor, most=MOST)
        sources = Sources(Locations(stores, [cdn]), reading, _downloader(MOST_BYTES))
        yield SourceParts(s3, source, other, cdn, sources, executor)
    for store in (source, other, cdn):
        store.close()


def track(file_path: str | None, **values: Any) -> Track:
    """A track that was asked for just now."""
    given: dict[str, Any] = {
        "track_id": "t1",
        "target": "r2_cdn",
        "wanted": "upload",
        "exists": True,
        "sidecar_path": None,
        "sidecar": '{"track_id": "t1"}',
        "version": "v1",
        "attempts": 1,
        "asked_at": time.monotonic(),
    }
    return Track(file_path=file_path, **{**given, **values})


def _downloader(most: int) -> Downloader:
    policy = DownloadPolicy(allow_networks=(ip_network("127.0.0.0/8"),), max_bytes=most)
    return Downloader(policy)
