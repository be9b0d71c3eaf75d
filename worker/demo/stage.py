"""Where a demonstration plays: embedded parts, a provider, and a real worker on them."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
from botocore.exceptions import ClientError
from psycopg.rows import dict_row

from worker.demo.cloudinary import LocalCloudinary
from worker.demo.embedded import EmbeddedPostgres, EmbeddedS3, PartDidNotStart
from worker.demo.processes import WorkerProcess, migrate
from worker.demo.provider import Provider
from worker.demo.surroundings import bare_environment

Row = dict[str, Any]
BUCKETS = {"audio": "tracks-audio", "cover": "tracks-covers", "video": "tracks-videos"}
SOURCE_BUCKET = "audio-files"
CDN = {"near": "cdn-near", "far": "cdn-far"}  # targets, and the bucket of each
LOGIN = "media_worker_login"
CREATE_LOGIN = f"create role {LOGIN} login in role media_worker"
START_TIMEOUT = 30.0  # seconds
GRACE = 2  # seconds that running work gets when the worker stops
SETTINGS = {
    "DOWNLOAD_ALLOW_NETWORKS": "127.0.0.0/8",
    "RETRY_DELAYS": "1,2",
    "SHUTDOWN_GRACE": str(GRACE),
}


class Stage:
    """PostgreSQL, S3 and a provider, all on this machine, temporary, and in use by a worker.

    `start` sets them up one by one. The worker logs in as a mere member of `media_worker`;
    `connection` is the application's.
    """

    def __init__(self) -> None:
        self._parts = contextlib.ExitStack()
        self.directory = Path()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def log_path(self) -> Path:
        """The file that the worker logs to."""
        return self.directory / "worker.log"

    def start(self) -> Iterator[str]:
        """Start everything; yields a line on each part once it runs.

        Raises `Misconfigured` where a part is not installed, `PartDidNotStart` where one fails.
        """
        scratch = tempfile.TemporaryDirectory(prefix="media-worker-", ignore_cleanup_errors=True)
        self.directory = Path(self._parts.enter_context(scratch))
        self.postgres = self._parts.enter_context(EmbeddedPostgres(for_tests=True))
        yield "PostgreSQL: embedded, on a Unix socket"
        self.s3 = self._parts.enter_context(EmbeddedS3())
        open_buckets(self.s3)
        self._boto = self._parts.enter_context(contextlib.closing(self.s3.client()))
        yield f"object storage: embedded S3 at {self.s3.endpoint}"
        self.provider = self._parts.enter_context(Provider())
        self.cloudinary = self._parts.enter_context(LocalCloudinary())
        yield f"Cloudinary: a local one at {self.cloudinary.url}"
        yield f"provider: at {self.provider.url('/')}"
        yield self._migrate()
        yield self._start_worker()

    def sql(self, query: str, *params: Any) -> list[Row]:
        """Run one statement as the application would."""
        cursor = self.connection.execute(query.encode(), params)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *params: Any) -> Any:
        """The only value of the only row."""
        return next(iter(self.sql(query, *params)[0].values()))

    def connect(self) -> psycopg.Connection[Row]:
        """Another connection of the application's."""
        return psycopg.connect(self.postgres.url, autocommit=True, row_factory=dict_row)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """What is really in a bucket."""
        pages = self._boto.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def stored(self, bucket: str, key: str) -> str:
        """Size and hash of the bytes that are really in a bucket, or `nothing`."""
        content = self._content(bucket, key)
        return "nothing" if content is None else fingerprint(content)

    def text(self, bucket: str, key: str) -> str:
        """What a file in a bucket says; empty if there is none."""
        return (self._content(bucket, key) or b"").decode()

    def headers(self, bucket: str, key: str) -> str:
        """What a browser is told of an object: content type and cache control."""
        try:
            head = self._boto.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            return f"nothing ({error.response['ResponseMetadata']['HTTPStatusCode']})"
        return f"{head['ContentType']}, {head.get('CacheControl')}"

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store a file, as somebody else would."""
        self._boto.put_object(Bucket=bucket, Key=key, Body=content)

    def stop_worker(self) -> int | None:
        """Stop the worker as systemd would; returns its exit status."""
        return self._worker.stop()

    def worker_has_ended(self) -> bool:
        """It ended by itself, which it never should."""
        return self._worker.status is not None

    def _content(self, bucket: str, key: str) -> bytes | None:
        try:
            body: bytes = self._boto.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return body

    def _migrate(self) -> str:
        env = bare_environment(DATABASE_URL=self.postgres.url)
        applied = migrate(env, cwd=self.directory)
        self.connection = self._parts.enter_context(contextlib.closing(self.connect()))
        self.sql("set timezone = 'UTC'")
        self.sql(CREATE_LOGIN)
        return f"media-worker migrate: {len(applied) - 1} steps"

    def _start_worker(self) -> str:
        url = worker_url(self.postgres)
        env = bare_environment(
            DATABASE_URL=url,
            **SETTINGS,
            **storage_settings(self.s3),
            **cdn_settings(self.s3),
            **cloudinary_settings(self.cloudinary),
        )
        worker = WorkerProcess(
            env,
            cwd=self.directory,
            grace=GRACE + 15,
            output=self.log_path,
            scratch=self.directory,
        )
        self._worker = self._parts.enter_context(worker)
        self._wait_for_worker()
        return f"media-worker run: logs to {self.log_path}"

    def _wait_for_worker(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self.value("select count(*) from worker_status where alive"):
            if self.worker_has_ended() or time.monotonic() > deadline:
                said = self.log_path.read_text(errors="replace").splitlines()[-3:]
                raise PartDidNotStart(f"the worker did not start: {' / '.join(said)}")
            time.sleep(0.05)


def open_buckets(s3: EmbeddedS3) -> None:
    """Create all buckets; whoever knows a URL in them may read there, except in the sources'."""
    open_to_all = [*BUCKETS.values(), *CDN.values()]
    s3.create_buckets([*open_to_all, SOURCE_BUCKET])
    with contextlib.closing(s3.client()) as client:
        for bucket in open_to_all:
            policy = (
                '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",'
                f' "Action": "s3:GetObject", "Resource": "arn:aws:s3:::{bucket}/*"}}]}}'
            )
            client.put_bucket_policy(Bucket=bucket, Policy=policy)


def worker_url(postgres: EmbeddedPostgres) -> str:
    """The URL for the worker, which logs in as a mere member of `media_worker`."""
    return postgres.url.replace("//postgres@", f"//{LOGIN}@", 1)


def storage_settings(s3: EmbeddedS3) -> dict[str, str]:
    """The settings that make an embedded S3 the primary storage."""
    return {
        "STORAGE_ENDPOINT": s3.endpoint,
        "STORAGE_REGION": s3.region,
        "STORAGE_ACCESS_KEY_ID": s3.access_key_id,
        "STORAGE_SECRET_ACCESS_KEY": s3.secret_access_key,
        **{f"STORAGE_{role.upper()}_BUCKET": bucket for role, bucket in BUCKETS.items()},
    }


def cdn_settings(s3: EmbeddedS3) -> dict[str, str]:
    """The settings of two CDN targets: one in the primary storage's account, one in another."""
    settings = {"CDN_TARGETS": ",".join(CDN), "STORAGE_SOURCE_BUCKET": SOURCE_BUCKET}
    for name, bucket in CDN.items():
        account = s3.access_key_id if name == "near" else f"{s3.access_key_id}-{name}"
        settings |= {
            f"CDN_{name.upper()}_ENDPOINT": s3.endpoint,
            f"CDN_{name.upper()}_REGION": s3.region,
            f"CDN_{name.upper()}_ACCESS_KEY_ID": account,
            f"CDN_{name.upper()}_SECRET_ACCESS_KEY": s3.secret_access_key,
            f"CDN_{name.upper()}_BUCKET": bucket,
            f"CDN_{name.upper()}_PUBLIC_URL": f"{s3.endpoint}/{bucket}",
        }
    return settings


def cloudinary_settings(local: LocalCloudinary) -> dict[str, str]:
    """The settings that make a Cloudinary on this machine the account."""
    return {"CLOUDINARY_URL": local.cloudinary_url, "CLOUDINARY_API_BASE": local.url}


def fingerprint(content: bytes) -> str:
    """Size and hash, for people to compare."""
    return f"{len(content)} B, sha256 {hashlib.sha256(content).hexdigest()[:12]}"
