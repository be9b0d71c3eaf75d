"""What a strict S3 server keeps: objects, and multipart uploads under R2's rules."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.support.sigv4 import Refused

MIB = 1024 * 1024
LEAST_PART = 5 * MIB
MOST_PARTS = 10_000
SECONDS_BETWEEN_WRITES = 1.0


@dataclass(frozen=True)
class StrictObject:
    """A stored object; `headers` are those that come back with it."""

    body: bytes
    headers: Mapping[str, str]
    etag: str
    modified: datetime


@dataclass
class Upload:
    """A multipart upload that is not completed yet."""

    key: str
    headers: Mapping[str, str]
    started: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class StrictBucket:
    """One bucket; `clock` is in seconds, and decides whether a key is written too often."""

    clock: Callable[[], float] = time.monotonic
    objects: dict[str, StrictObject] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    _written: dict[str, float] = field(default_factory=dict)

    def find(self, key: str) -> StrictObject:
        if key not in self.objects:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        return self.objects[key]

    def put(self, key: str, body: bytes, headers: Mapping[str, str], etag: str = "") -> str:
        """Stores an object; returns its ETag."""
        self._check_rate(key)
        etag = etag or hashlib.md5(body).hexdigest()
        self.objects[key] = StrictObject(body, headers, etag, datetime.now(UTC))
        return etag

    def begin(self, key: str, headers: Mapping[str, str]) -> str:
        """Begins a multipart upload; returns its id."""
        upload = uuid.uuid4().hex
        self.uploads[upload] = Upload(key, headers, datetime.now(UTC))
        return upload

    def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Stores a part; returns its ETag."""
        if not 1 <= number <= MOST_PARTS:
            raise Refused(400, "InvalidArgument", "partNumber")
        self._upload(key, upload).parts[number] = body
        return hashlib.md5(body).hexdigest()

    def complete(self, key: str, upload: str, listed: Sequence[tuple[int, str]]) -> str:
        """Makes an object of the listed parts; returns its ETag."""
        found = self._upload(key, upload)
        bodies = list(_chosen(found.parts, listed))
        _check_sizes([len(body) for body in bodies])
        digests = b"".join(hashlib.md5(body).digest() for body in bodies)
        etag = f"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"
        self.put(key, b"".join(bodies), found.headers, etag)
        del self.uploads[upload]
        return etag

    def abort(self, key: str, upload: str) -> None:
        self._upload(key, upload)
        del self.uploads[upload]

    def listed(self, prefix: str, after: str) -> list[str]:
        """The keys with the prefix behind `after`, in order."""
        return sorted(key for key in self.objects if key.startswith(prefix) and key > after)

    def _upload(self, key: str, upload: str) -> Upload:
        found = self.uploads.get(upload)
        if found is None or found.key != key:
            raise Refused(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return found

    def _check_rate(self, key: str) -> None:
        now = self.clock()
        if now - self._written.get(key, now - 60) < SECONDS_BETWEEN_WRITES:
            message = "Reduce your concurrent request rate for the same object."
            raise Refused(429, "TooManyRequests", message, Retry_After="1")
        self._written[key] = now


def _chosen(parts: Mapping[int, bytes], listed: Sequence[tuple[int, str]]) -> Iterator[bytes]:
    numbers = [number for number, _ in listed]
    if not numbers or numbers != sorted(set(numbers)):
        raise Refused(400, "InvalidPartOrder")
    for number, etag in listed:
        body = parts.get(number)
        if body is None or hashlib.md5(body).hexdigest() != etag.strip('"'):
            raise Refused(400, "InvalidPart", f"part {number} is missing, or another")
        yield body


def _check_sizes(sizes: Sequence[int]) -> None:
    first, *_, last = sizes if len(sizes) > 1 else (sizes[0], sizes[0])
    if any(size < LEAST_PART for size in sizes[:-1]):
        raise Refused(400, "EntityTooSmall", "A part is smaller than 5 MiB.")
    if len(set(sizes[:-1])) > 1 or last > first:
        raise Refused(400, "InvalidPart", "All non-trailing parts must have the same length.")
