"""The control calls of one bucket, over the S3 API: all but the moving of large bodies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from botocore.exceptions import ClientError

from worker.errors import Permanent, Temporary
from worker.storage import failures, probe, urls
from worker.storage.client import content_md5, make_client
from worker.storage.config import StorageTarget
from worker.storage.etags import md5_of
from worker.storage.keys import BadKey, check_key
from worker.storage.signing import Signer
from worker.storage.throttle import Turns, Unthrottled

DELETE_AT_ONCE = 1000


@dataclass(frozen=True)
class ObjectInfo:
    """An object as the storage knows it; `size` in bytes, `etag` without quotes.

    `md5` is that of the content, in hexadecimal digits; empty where the ETag is something else.
    It, `content_type` and `cache_control` are empty in listings, which do not tell them.
    """

    key: str
    size: int
    etag: str
    content_type: str
    last_modified: datetime
    cache_control: str = ""
    md5: str = ""

    @classmethod
    def read(cls, key: str, answer: Mapping[str, Any]) -> Self:
        """What the answer to a HEAD or GET says of the object."""
        etag = answer.get("ETag", "").strip('"')
        fields = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return cls(
            key=key,
            size=answer["ContentLength"],
            etag=etag,
            content_type=answer.get("ContentType", ""),
            last_modified=answer["LastModified"],
            cache_control=answer.get("CacheControl", ""),
            md5=md5_of(etag, fields.items()),
        )


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    started_at: datetime


class Bucket:
    """One bucket. Calls block, and may come from many threads at once.

    Every method raises `Outage` when the storage does not work or refuses us, `Temporary` or
    `Permanent` when it refuses the request itself, and `BadKey` for a key that is not safe.
    """

    def __init__(
        self, target: StorageTarget, *, client: Any = None, throttle: Turns | None = None
    ) -> None:
        """`client` and `throttle` are shared between the buckets of one account.

        Without a client one is made; one that is given was made with the same throttle.
        """
        self.target = target
        self.throttle = throttle or Unthrottled()
        self._client = make_client(target, throttle=self.throttle) if client is None else client
        self._signer = Signer(target)
        self._deletes_in_bulk = True

    @property
    def client(self) -> Any:
        """The boto3 client, to share with other buckets of the same account."""
        return self._client

    def url(self, key: str) -> str:
        """The unsigned URL: public, or on the endpoint when the bucket is private."""
        return urls.url_of(self.target, check_key(key))

    def head(self, key: str) -> ObjectInfo | None:
        """What is stored at the key; None when nothing is."""
        with failures.translated(self.target):
            try:
                answer = self._client.head_object(**self._at(key))
            except ClientError as error:
                if failures.refusal_of(error).status == 404:
                    return None
                raise
        return ObjectInfo.read(key, answer)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in pages of up to 1,000."""
        pages = self._client.get_paginator("list_objects_v2")
        with failures.translated(self.target):
            for page in pages.paginate(Bucket=self.target.bucket, Prefix=prefix):
                yield from map(_listed, page.get("Contents", ()))

    def put_small(
        self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None
    ) -> None:
        """Stores a few bytes, such as a sidecar. Media goes through `Transfer`."""
        options = {"CacheControl": cache_control} if cache_control else {}
        with failures.translated(self.target):
            self._client.put_object(
                **self._at(key),
                Body=data,
                ContentType=content_type,
                ContentMD5=content_md5(data),
                **options,
            )

    def read_small(self, key: str) -> bytes:
        """The whole object in memory: for sidecars and probes.

        Raises `NoSuchObject` when nothing is stored at the key.
        """
        with failures.translated(self.target):
            body: bytes = self._client.get_object(**self._at(key))["Body"].read()
        return body

    def delete(self, key: str) -> None:
        """Deletes the object; one that is not there counts as deleted."""
        with contextlib.suppress(failures.NoSuchObject), failures.translated(self.target):
            self._client.delete_object(**self._at(key))

    def delete_many(self, keys: Iterable[str]) -> dict[str, str]:
        """Deletes the objects; what is not there counts as deleted.

        Returns what went wrong, by key: empty when all are gone.
        """
        errors, good = _sort_out(keys)
        for start in range(0, len(good), DELETE_AT_ONCE):
            errors |= self._delete(good[start : start + DELETE_AT_ONCE])
        return errors

    def copy_whole(self, key: str, origin: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Copies an object to the key in one call; `headers`, if any, replace all of its own."""
        directive = {"MetadataDirective": "REPLACE"} if headers else {}
        with failures.translated(self.target):
            self._client.copy_object(**self._at(key), **origin, **headers, **directive)

    def check(self) -> None:
        """Writes, reads back and deletes a tiny object.

        Raises `Misconfigured` when a setting or a right is wrong, `Outage` when the storage does
        not work; both say what to do.
        """
        probe.check(self)

    # What a transfer needs besides the body itself.

    def presign_put(self, key: str, *, expires_in: int, headers: Mapping[str, str]) -> str:
        """A URL for one PUT with exactly these headers (Content-Length, -Type, Cache-Control).

        It is valid for `expires_in` seconds, and as secret as a password.
        """
        return self._signer.presign("PUT", key, expires_in=expires_in, headers=headers)

    def presign_head(self, key: str, *, expires_in: int) -> str:
        """A URL for HEAD requests."""
        return self._signer.presign("HEAD", key, expires_in=expires_in)

    def presign_part(
        self, key: str, upload_id: str, number: int, *, expires_in: int, headers: Mapping[str, str]
    ) -> str:
        """A URL for the PUT of one part, the first being number 1."""
        part = {"partNumber": str(number), "uploadId": upload_id}
        return self._signer.presign("PUT", key, expires_in=expires_in, headers=headers, query=part)

    def create_multipart(self, key: str, *, content_type: str, cache_control: str | None) -> str:
        """Begins a multipart upload; returns its id."""
        options = {"CacheControl": cache_control} if cache_control else {}
        with failures.translated(self.target):
            answer = self._client.create_multipart_upload(
                **self._at(key), ContentType=content_type, **options
            )
        return str(answer["UploadId"])

    def complete_multipart(self, key: str, upload_id: str, etags: Sequence[str]) -> str:
        """Makes the object visible, out of its parts in order; returns its ETag."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with failures.translated(self.target):
            answer = self._client.complete_multipart_upload(
                **self._at(key), UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        return str(answer.get("ETag", "")).strip('"')

    def copy_part(
        self, key: str, upload_id: str, number: int, origin: Mapping[str, Any], span: str
    ) -> str:
        """Makes a span (`bytes=0-99`) of another object a part of the upload; returns its ETag."""
        part = {"UploadId": upload_id, "PartNumber": number, "CopySourceRange": span}
        with failures.translated(self.target):
            answer = self._client.upload_part_copy(**self._at(key), **part, **origin)
        return str(answer["CopyPartResult"]["ETag"]).strip('"')

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Gives a multipart upload up and frees its parts; one that is gone already is fine."""
        with failures.translated(self.target):
            try:
                self._client.abort_multipart_upload(**self._at(key), UploadId=upload_id)
            except ClientError as error:
                if failures.refusal_of(error).name != "NoSuchUpload":
                    raise

    def open_uploads(
        self, prefix: str = "", *, older_than: timedelta = timedelta()
    ) -> Iterator[OpenUpload]:
        """Multipart uploads that nobody ended: what killed processes leave, and what runs now."""
        latest = datetime.now(UTC) - older_than
        pages = self._client.get_paginator("list_multipart_uploads")
        with failures.translated(self.target):
            for page in pages.paginate(Bucket=self.target.bucket, Prefix=prefix):
                for entry in page.get("Uploads", ()):
                    if not older_than or entry["Initiated"] <= latest:
                        yield OpenUpload(entry["Key"], entry["UploadId"], entry["Initiated"])

    def abort_uploads(self, key: str, *, older_than: timedelta = timedelta()) -> int:
        """Aborts the open multipart uploads of exactly this key; returns how many there were."""
        found = list(self.open_uploads(check_key(key), older_than=older_than))
        mine = [upload for upload in found if upload.key == key]
        for upload in mine:
            self.abort_multipart(upload.key, upload.upload_id)
        return len(mine)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.target.bucket, "Key": check_key(key)}

    def _delete(self, keys: Sequence[str]) -> dict[str, str]:
        if not self._deletes_in_bulk or len(keys) == 1:
            return self._delete_singly(keys)
        request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with failures.translated(self.target):
            try:
                answer = self._client.delete_objects(Bucket=self.target.bucket, Delete=request)
            except ClientError as error:
                if failures.refusal_of(error).status not in (400, 405, 411, 501):
                    raise
                # The server does not know the call, or not boto3's checksum on it.
                self._deletes_in_bulk = False
                return self._delete_singly(keys)
        return dict(_undeleted(answer.get("Errors", ())))

    def _delete_singly(self, keys: Sequence[str]) -> dict[str, str]:
        errors: dict[str, str] = {}
        for key in keys:
            try:
                self.delete(key)
            except (Permanent, Temporary) as error:
                errors[key] = str(error)
        return errors


def _listed(entry: Mapping[str, Any]) -> ObjectInfo:
    etag = entry.get("ETag", "").strip('"')
    return ObjectInfo(entry["Key"], entry["Size"], etag, "", entry["LastModified"])


def _sort_out(keys: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Errors of the keys that are not safe, and the other keys, each once."""
    errors: dict[str, str] = {}
    good: list[str] = []
    for key in dict.fromkeys(keys):
        try:
            good.append(check_key(key))
        except BadKey as error:
            errors[key] = str(error)
    return errors, good


def _undeleted(entries: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if entry.get("Code") != "NoSuchKey":
            yield entry["Key"], f"{entry.get('Code', 'error')}: {entry.get('Message', '')}"
