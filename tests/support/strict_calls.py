"""What a strict S3 server answers to each kind of request."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from tests.support.sigv4 import Refused, Request
from tests.support.strict_bucket import StrictBucket

KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding")
MOST_DELETED = 1000
LONGEST_KEY = 1024

Answer = tuple[int, bytes, Mapping[str, str]]


class Call:
    """One request on a bucket or an object."""

    def __init__(
        self, buckets: Mapping[str, StrictBucket], name: str, key: str, request: Request, page: int
    ) -> None:
        """`page` is how many keys one answer to a listing holds."""
        self._buckets = buckets
        self._bucket = buckets[name]
        self._key = key
        self._page = page
        self._request = request
        self._query = request.query

    def on_bucket(self) -> Answer:
        match self._request.method:
            case "GET" if "uploads" in self._query:
                return self._uploads()
            case "GET" if self._query.get("list-type") == "2":
                return self._list()
            case "POST" if "delete" in self._query:
                return self._delete_many()
            case "HEAD":
                return 200, b"", {}
        raise Refused(501, "NotImplemented", f"{self._request.method} on a bucket")

    def on_object(self) -> Answer:
        _check_key(self._key)
        match self._request.method:
            case "GET" | "HEAD":
                return self._get()
            case "PUT" if "uploadId" in self._query:
                return self._put_part()
            case "PUT":
                return self._put()
            case "POST":
                return self._begin() if "uploads" in self._query else self._complete()
            case "DELETE":
                return self._delete()
        raise Refused(501, "NotImplemented")

    def _get(self) -> Answer:
        found = self._bucket.find(self._key)
        fields = {
            **found.headers,
            "ETag": f'"{found.etag}"',
            "Last-Modified": format_datetime(found.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        span = self._request.headers.get("range")
        if span is None:
            return 200, found.body, fields
        first, last = _span(span, len(found.body))
        fields["Content-Range"] = f"bytes {first}-{last}/{len(found.body)}"
        return 206, found.body[first : last + 1], fields

    def _put(self) -> Answer:
        origin = self._origin()
        if origin is None:
            if self._request.headers.get("if-none-match") == "*":
                self._check_absent()
            etag = self._bucket.put(self._key, self._request.body, _kept(self._request))
            return 200, b"", {"ETag": f'"{etag}"'}
        body, headers = origin
        replaced = self._request.headers.get("x-amz-metadata-directive") == "REPLACE"
        etag = self._bucket.put(self._key, body, _kept(self._request) if replaced else headers)
        return _xml("CopyObjectResult", f"<ETag>&quot;{etag}&quot;</ETag>{_modified()}")

    def _put_part(self) -> Answer:
        origin, place = self._origin(), (self._key, self._query["uploadId"])
        body = self._request.body if origin is None else origin[0]
        etag = self._bucket.put_part(*place, int(self._query["partNumber"]), body)
        if origin is None:
            return 200, b"", {"ETag": f'"{etag}"'}
        return _xml("CopyPartResult", f"<ETag>&quot;{etag}&quot;</ETag>{_modified()}")

    def _origin(self) -> tuple[bytes, Mapping[str, str]] | None:
        """The bytes and headers that a copy takes over."""
        headers = self._request.headers
        if "x-amz-copy-source" not in headers:
            return None
        name, _, key = unquote(headers["x-amz-copy-source"]).removeprefix("/").partition("/")
        if name not in self._buckets:
            raise Refused(404, "NoSuchBucket")
        found = self._buckets[name].find(key)
        if headers.get("x-amz-copy-source-if-match", found.etag).strip('"') != found.etag:
            raise Refused(412, "PreconditionFailed")
        span = headers.get("x-amz-copy-source-range")
        first, last = _span(span, len(found.body)) if span else (0, len(found.body) - 1)
        return found.body[first : last + 1], found.headers

    def _check_absent(self) -> None:
        if self._key in self._bucket.objects:
            raise Refused(412, "PreconditionFailed")

    def _begin(self) -> Answer:
        upload = self._bucket.begin(self._key, _kept(self._request))
        return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")

    def _complete(self) -> Answer:
        if "uploadId" not in self._query:
            raise Refused(501, "NotImplemented", "POST of a form")
        parts = [
            (int(_text(part, "PartNumber")), _text(part, "ETag"))
            for part in _children(self._request.body, "Part")
        ]
        etag = self._bucket.complete(self._key, self._query["uploadId"], parts)
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{etag}&quot;</ETag>")

    def _delete(self) -> Answer:
        if "uploadId" in self._query:
            self._bucket.abort(self._key, self._query["uploadId"])
        else:
            self._bucket.objects.pop(self._key, None)
        return 204, b"", {}

    def _delete_many(self) -> Answer:
        headers = self._request.headers
        if not any(name in headers for name in ("content-md5", "x-amz-checksum-crc32")):
            raise Refused(400, "InvalidRequest", "Missing required header: Content-MD5")
        keys = [_text(entry, "Key") for entry in _children(self._request.body, "Object")]
        if len(keys) > MOST_DELETED:
            raise Refused(400, "MalformedXML")
        for key in keys:
            self._bucket.objects.pop(key, None)
        return _xml("DeleteResult", "")

    def _list(self) -> Answer:
        token = self._query.get("continuation-token", self._query.get("start-after", ""))
        found = self._bucket.listed(self._query.get("prefix", ""), token)
        page = found[: min(self._page, int(self._query.get("max-keys", "1000")))]
        more = len(found) > len(page)
        text = "".join(self._entry(key) for key in page)
        text += f"<IsTruncated>{str(more).lower()}</IsTruncated><KeyCount>{len(page)}</KeyCount>"
        if more:
            text += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return _xml("ListBucketResult", text + self._encoding())

    def _entry(self, key: str) -> str:
        found = self._bucket.objects[key]
        return (
            f"<Contents><Key>{self._encoded(key)}</Key><Size>{len(found.body)}</Size>"
            f"<ETag>&quot;{found.etag}&quot;</ETag>{_modified(found.modified)}</Contents>"
        )

    def _uploads(self) -> Answer:
        prefix = self._query.get("prefix", "")
        entries = (
            f"<Upload><Key>{self._encoded(found.key)}</Key><UploadId>{upload}</UploadId>"
            f"<Initiated>{found.started.isoformat()}</Initiated></Upload>"
            for upload, found in self._bucket.uploads.items()
            if found.key.startswith(prefix)
        )
        text = f"{''.join(entries)}<IsTruncated>false</IsTruncated>"
        return _xml("ListMultipartUploadsResult", text + self._encoding())

    def _encoded(self, key: str) -> str:
        return quote(key) if self._query.get("encoding-type") == "url" else escape(key)

    def _encoding(self) -> str:
        kind = self._query.get("encoding-type")
        return f"<EncodingType>{kind}</EncodingType>" if kind else ""


def _check_key(key: str) -> None:
    if not key.isascii() or len(key) > LONGEST_KEY:
        raise Refused(400, "KeyTooLongError" if key.isascii() else "InvalidObjectName")


def _kept(request: Request) -> dict[str, str]:
    headers = request.headers
    return {name: text for name, text in headers.items() if name in KEPT} | {
        name: text for name, text in headers.items() if name.startswith("x-amz-meta-")
    }


def _span(text: str, size: int) -> tuple[int, int]:
    """The first and the last byte that are asked for."""
    start, _, end = text.removeprefix("bytes=").partition("-")
    first = int(start) if start else max(size - int(end), 0)
    last = min(int(end), size - 1) if start and end else size - 1
    if first > last:
        raise Refused(416, "InvalidRange")
    return first, last


def _xml(name: str, content: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><{name}>{content}</{name}>'
    return 200, text.encode(), {"Content-Type": "application/xml"}


def _modified(moment: datetime | None = None) -> str:
    return f"<LastModified>{(moment or datetime.now(UTC)).isoformat()}</LastModified>"


def _children(body: bytes, name: str) -> Iterator[ElementTree.Element]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Refused(400, "MalformedXML") from error
    return (child for child in root if child.tag.rpartition("}")[2] == name)


def _text(element: ElementTree.Element, name: str) -> str:
    return next(child.text or "" for child in element if child.tag.rpartition("}")[2] == name)
