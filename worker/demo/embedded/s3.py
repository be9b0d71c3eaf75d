"""The embedded S3 server."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterable
from typing import Any, Self

import boto3
from botocore.config import Config

from worker.errors import Misconfigured


class EmbeddedS3:
    """moto's S3 server on a free port of 127.0.0.1, with everything in memory.

    It checks neither signatures nor lengths: good for trying things out, never for keeping
    them. All servers of one process share their buckets.

    Raises `Misconfigured` where the package is missing.
    """

    access_key_id = "embedded-access-key"
    secret_access_key = "embedded-secret-key"  # noqa: S105 - an obvious fake
    region = "us-east-1"

    def __init__(self) -> None:
        self._server = _server_class()(ip_address="127.0.0.1", port=0, verbose=False)
        self._running = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:{port}`, known once started."""
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    def start(self) -> Self:
        """Start serving; requests are not logged."""
        if not self._running:
            logging.getLogger("werkzeug").setLevel(logging.ERROR)
            self._server.start()
            self._running = True
        return self

    def stop(self) -> None:
        """Stop serving; may be called twice."""
        if self._running:
            self._server.stop()
            self._running = False

    def client(self) -> Any:
        """A boto3 client of this server; the caller closes it."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def create_buckets(self, names: Iterable[str]) -> None:
        """Create these buckets; one that exists stays as it is."""
        with contextlib.closing(self.client()) as client:
            for name in names:
                client.create_bucket(Bucket=name)


def _server_class() -> Any:
    try:
        return importlib.import_module("moto.server").ThreadedMotoServer
    except ImportError as error:
        raise Misconfigured(
            "the embedded S3 server is not installed: pip install 'media-worker[embedded]', "
            "or set STORAGE_ENDPOINT to use a server of your own"
        ) from error
