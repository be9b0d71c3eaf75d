"""The boto3 client, set up so that R2 and other S3 servers understand it."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.handlers import add_expect_header

from worker.errors import Misconfigured
from worker.storage.config import StorageTarget

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
CONNECTIONS = 32


def make_client(target: StorageTarget) -> Any:
    """A client for the control calls, which any number of threads may share.

    Raises `Misconfigured` when the endpoint is no URL.
    """
    try:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=target.endpoint,
            region_name=target.region or "auto",
            aws_access_key_id=target.access_key_id,
            aws_secret_access_key=target.secret_access_key,
            config=_config(),
        )
    except ValueError as error:
        setting = target.setting("ENDPOINT")
        raise Misconfigured(f"{setting} is no URL; it looks like https://host/path") from error
    # Servers that send no interim answer would cost a second of waiting for each upload.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client


def _config() -> Config:
    return Config(
        signature_version="s3v4",
        # Otherwise boto3 sends aws-chunked bodies without a length, which R2 refuses.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
        retries={"mode": "standard", "total_max_attempts": 2},
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        max_pool_connections=CONNECTIONS,
    )
