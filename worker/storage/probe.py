"""Does a bucket really take, return and delete objects?"""

from __future__ import annotations

from typing import Protocol
from uuid import uuid4

from worker.errors import Misconfigured, Outage
from worker.storage.config import StorageTarget
from worker.storage.failures import NoSuchObject, Refused, unreachable

CONTENT = b"media-worker\n"


class Probed(Protocol):
    """The part of a bucket that the probe needs."""

    target: StorageTarget

    def put_small(self, key: str, data: bytes, *, content_type: str) -> None: ...
    def read_small(self, key: str) -> bytes: ...
    def delete_many(self, keys: list[str]) -> dict[str, str]: ...


def check(bucket: Probed) -> None:
    """Raises `Misconfigured` or `Outage` unless a probe object comes and goes."""
    if bucket.target.is_public_url:
        raise Misconfigured(str(unreachable(bucket.target, ValueError())))
    key = f".media-worker-probe-{uuid4()}"
    try:
        _round_trip(bucket, key)
    except Refused as error:
        raise Misconfigured(str(error)) from error


def _round_trip(bucket: Probed, key: str) -> None:
    target = bucket.target
    bucket.put_small(key, CONTENT, content_type="text/plain")
    try:
        if bucket.read_small(key) != CONTENT:
            raise Outage(target.service, f"{target.service}: {target.host} returned other bytes")
    except NoSuchObject as error:
        reason = f"{target.service}: {target.host} does not know an object that it just took"
        raise Outage(target.service, reason) from error
    finally:
        errors = bucket.delete_many([key])
    if errors:
        raise Outage(target.service, f"{target.service}: the probe stayed: {errors[key]}")
