"""An S3 server that refuses what Cloudflare R2 refuses, and keeps a journal of what it was asked.

It verifies every signature; takes no body without Content-Length, no streaming checksums, no wrong
Content-MD5, no multipart upload with small or unequal parts, no second write of a key within a
second; knows no ACL, tagging or POST forms; and never answers `Expect: 100-continue`.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote

from tests.support.sigv4 import Refused, Request, verify
from tests.support.strict_bucket import StrictBucket
from tests.support.strict_calls import Answer, Call

UNKNOWN = ("acl", "tagging", "versioning", "versions", "policy", "torrent", "retention")
UNKNOWN_HEADERS = ("x-amz-acl", "x-amz-tagging", "x-amz-trailer", "x-amz-object-lock-mode")


class StrictS3:
    """Serves on a free port of 127.0.0.1 while the context is open."""

    access_key_id = "strict-key-id"
    secret_access_key = "strict-secret-key"
    region = "auto"

    def __init__(self) -> None:
        self.buckets: dict[str, StrictBucket] = {}
        self.reset()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.s3 = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """Forgets what it was asked, and how it was set up."""
        self.journal: list[Request] = []
        self.page = 1000  # keys in one answer to a listing
        self.ahead = timedelta()  # of its clock
        self.clock: Callable[[], float] = time.monotonic  # between writes, in seconds

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_port

    def fresh_bucket(self, prefix: str = "bucket") -> str:
        """The name of a new, empty bucket."""
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        self.buckets[name] = StrictBucket(clock=lambda: self.clock())
        return name

    def keys(self, bucket: str) -> list[str]:
        return sorted(self.buckets[bucket].objects)

    def read(self, bucket: str, key: str) -> bytes:
        return self.buckets[bucket].objects[key].body

    def open_uploads(self, bucket: str) -> list[str]:
        return [upload.key for upload in self.buckets[bucket].uploads.values()]

    def answer(self, request: Request) -> Answer:
        """Carries a request out, whose body is there. Raises `Refused`."""
        verify(
            request, {self.access_key_id: self.secret_access_key}, datetime.now(UTC) + self.ahead
        )
        name, _, key = unquote(request.path).removeprefix("/").partition("/")
        if name not in self.buckets:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        _check_known(request)
        _check_sums(request)
        call = Call(self.buckets, name, key, request, self.page)
        return call.on_object() if key else call.on_bucket()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    s3: StrictS3


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: _Server

    def handle_expect_100(self) -> bool:
        return True  # and says nothing: the client may wait as long as it likes

    def log_message(self, *_: object) -> None:
        """The journal is enough."""

    def do_PUT(self) -> None:
        if "transfer-encoding" in self.headers or "aws-chunked" in self._encoding():
            return self._refuse(Refused(501, "NotImplemented", "a body in chunks"))
        if "content-length" not in self.headers:
            return self._refuse(Refused(411, "MissingContentLength"))
        return self._serve(self.rfile.read(int(self.headers["content-length"])))

    do_POST = do_PUT

    def do_GET(self) -> None:
        self._serve(b"")

    do_HEAD = do_DELETE = do_GET

    def _serve(self, body: bytes) -> None:
        request = self._note(body)
        try:
            status, answer, fields = self.server.s3.answer(request)
        except Refused as refusal:
            self._answer_error(refusal)
        else:
            self._answer(status, answer, fields)

    def _refuse(self, refusal: Refused) -> None:
        """Without the body being read: the connection cannot be used any more."""
        self._note(b"")
        self.close_connection = True
        self._answer_error(refusal)

    def _note(self, body: bytes) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, body)
        self.server.s3.journal.append(request)
        return request

    def _answer_error(self, refusal: Refused) -> None:
        text = f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
        fields = {name.replace("_", "-"): value for name, value in refusal.headers.items()}
        self._answer(refusal.status, text.encode(), fields)

    def _answer(self, status: int, body: bytes, fields: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _encoding(self) -> str:
        return str(self.headers.get("content-encoding", ""))


def _check_known(request: Request) -> None:
    for name in (*UNKNOWN, *UNKNOWN_HEADERS):
        if name in request.query or name in request.headers:
            raise Refused(501, "NotImplemented", f"{name} is not implemented")


def _check_sums(request: Request) -> None:
    sums = {
        "content-md5": hashlib.md5(request.body).digest(),
        "x-amz-checksum-crc32": zlib.crc32(request.body).to_bytes(4, "big"),
    }
    for name, digest in sums.items():
        stated = request.headers.get(name)
        if stated is not None and stated != base64.b64encode(digest).decode():
            raise Refused(400, "BadDigest", f"{name} does not match the body")
