"""The S3 server of the tests, with buckets of its own for every test."""

from __future__ import annotations

import uuid
from typing import Any, Self

from worker.demo.embedded import EmbeddedS3


class S3ForTests(EmbeddedS3):
    """An `EmbeddedS3` that gives away fresh buckets and shows what is in them."""

    def start(self) -> Self:
        super().start()
        self.boto = self.client()
        return self

    def stop(self) -> None:
        self.boto.close()
        super().stop()

    def fresh_bucket(self, prefix: str = "bucket") -> str:
        """The name of a new, empty bucket."""
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        self.create_buckets([name])
        return name

    def fresh_buckets(self, *prefixes: str) -> list[str]:
        """The names of new, empty buckets, one for each prefix."""
        return [self.fresh_bucket(prefix) for prefix in prefixes]

    def keys(self, bucket: str) -> list[str]:
        """All keys in a bucket, sorted."""
        pages = self.boto.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, bucket: str, key: str) -> bytes:
        """An object's bytes."""
        body: bytes = self.boto.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def head(self, bucket: str, key: str) -> dict[str, Any]:
        """An object's attributes, as boto3 gives them."""
        attributes: dict[str, Any] = self.boto.head_object(Bucket=bucket, Key=key)
        return attributes

    def open_uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        answer = self.boto.list_multipart_uploads(Bucket=bucket)
        return [upload["Key"] for upload in answer.get("Uploads", [])]
