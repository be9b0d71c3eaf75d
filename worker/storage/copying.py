"""Copies inside an account: the bytes never leave the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from worker.errors import Outage, WorkError
from worker.storage import failures
from worker.storage.bucket import Bucket, ObjectInfo
from worker.storage.content_types import UNKNOWN
from worker.storage.delivery import MOST_PARTS
from worker.storage.intake import nothing

MIB = 1024 * 1024
# A larger object goes in parts, each of which the storage copies well within a request's time.
AT_ONCE = 256 * MIB


def headers(*, content_type: str | None, cache_control: str | None) -> dict[str, str]:
    """What a copy gets instead of what its original has, by boto3's names."""
    given = {"ContentType": content_type, "CacheControl": cache_control}
    return {name: value for name, value in given.items() if value}


def copy(
    source: Bucket,
    key: str,
    bucket: Bucket,
    to: str,
    *,
    changes: Mapping[str, str] = MappingProxyType({}),
    at_once: int = AT_ONCE,
    may_finish: Callable[[], None] = nothing,
) -> ObjectInfo:
    """Copies an object with its content type and cache control; returns the copy, verified.

    `changes` are of `headers`. An object of more than `at_once` bytes is copied in parts of that
    size. `may_finish` is called before the write that makes the copy visible; what it raises
    passes through. Raises `NoSuchObject` when there is none, `Temporary` when it is overwritten
    meanwhile.
    """
    found = source.head(key)
    if found is None:
        raise failures.NoSuchObject(f"{source.target.bucket} has no object {key!r} to copy")
    if not changes and (source.target.bucket, key) == (bucket.target.bucket, to):
        return found
    origin = {
        "CopySource": {"Bucket": source.target.bucket, "Key": key},
        # Not a mixture of what is there now and what comes in between.
        "CopySourceIfMatch": f'"{found.etag}"',
    }
    kept = headers(content_type=found.content_type, cache_control=found.cache_control)
    if found.size <= at_once:
        bucket.throttle.acquire_ahead()
        may_finish()
        bucket.copy_whole(to, origin, {**kept, **changes} if changes else {})
    else:
        spans = list(_spans(found.size, at_once))
        _in_parts(bucket, to, origin, {**kept, **changes}, spans, may_finish)
    return _verified(bucket, to, found)


def _in_parts(
    bucket: Bucket,
    key: str,
    origin: Mapping[str, object],
    headers: Mapping[str, str],
    spans: Sequence[str],
    may_finish: Callable[[], None],
) -> None:
    kind = headers.get("ContentType") or UNKNOWN
    cache_control = headers.get("CacheControl")
    upload = bucket.create_multipart(key, content_type=kind, cache_control=cache_control)
    try:
        etags = [
            bucket.copy_part(key, upload, number, origin, span)
            for number, span in enumerate(spans, 1)
        ]
        bucket.throttle.acquire_ahead()
        may_finish()
        bucket.complete_multipart(key, upload, etags)
    except BaseException:
        with suppress(WorkError):
            bucket.abort_multipart(key, upload)
        raise


def _spans(size: int, at_once: int) -> Iterator[str]:
    """All parts of one size but the last, which R2 asks for."""
    part = max(at_once, -(-size // MOST_PARTS))
    for start in range(0, size, part):
        yield f"bytes={start}-{min(start + part, size) - 1}"


def _verified(bucket: Bucket, key: str, original: ObjectInfo) -> ObjectInfo:
    copied, service = bucket.head(key), bucket.target.service
    if copied is None or copied.size != original.size:
        size = copied.size if copied else "no"
        raise Outage(service, f"{service}: copied {size} bytes of {original.size}")
    if copied.md5 and original.md5 and copied.md5 != original.md5:
        raise Outage(service, f"{service}: the copy has other bytes than its original (by MD5)")
    return copied
