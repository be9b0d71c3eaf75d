"""The boto3 client, set up so that R2 and other S3 servers understand it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import MutableMapping
from functools import cache, partial
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.handlers import add_expect_header
from botocore.loaders import Loader

from worker.errors import Misconfigured
from worker.storage.config import StorageTarget
from worker.storage.failures import THROTTLED, refusal_in
from worker.storage.throttle import Turns, Unthrottled

CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
CONNECTIONS = 32


def make_client(target: StorageTarget, *, throttle: Turns | None = None) -> Any:
    """A client for the control calls, which any number of threads may share.

    Each of its requests, repeated ones too, waits for its turn at the `throttle`.
    Raises `Misconfigured` when the endpoint is no URL.
    """
    try:
        client = _session().create_client(
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
    client.meta.events.register("before-call.s3.DeleteObjects", _sum_up_by_md5)
    _pace(client.meta.events, throttle or Unthrottled())
    return client


def _pace(events: Any, throttle: Turns) -> None:
    # before it is signed, since a signature ages while it waits
    events.register_first("request-created.s3", lambda **_: throttle.acquire())
    events.register("response-received.s3", partial(_learn, throttle))


def _learn(throttle: Turns, parsed_response: Any = None, **_: Any) -> None:
    if parsed_response is None:
        return throttle.failed()
    refusal = refusal_in(parsed_response)
    parsed_response["ResponseMetadata"][THROTTLED] = throttle.heed(refusal)
    return None


def _session() -> botocore.session.Session:
    # an AWS_PROFILE of the environment is not ours, and one that does not exist would be an error
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    session.register_component("data_loader", _descriptions())
    return session


@cache
def _descriptions() -> Loader:
    """What botocore knows of S3: read once, since it takes longer than all the rest."""
    return Loader()


def content_md5(data: bytes) -> str:
    """What a Content-MD5 header says of a body."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _sum_up_by_md5(params: MutableMapping[str, Any], **_: Any) -> None:
    """The sum that every server takes, instead of a CRC32 that older ones do not know."""
    params["headers"]["Content-MD5"] = content_md5(params["body"])
    params["context"].pop("checksum", None)


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
