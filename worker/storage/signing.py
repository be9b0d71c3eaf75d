"""Presigned URLs, by botocore's signer alone: a third of what a client's call costs."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from worker.storage.config import StorageTarget
from worker.storage.keys import check_key


def presign(
    target: StorageTarget,
    method: str,
    key: str,
    *,
    expires_in: int,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """A URL for one kind of request on the key, valid for `expires_in` seconds.

    The headers are signed too: the request must carry exactly these. It is as secret as a
    password.
    """
    url = f"{target.endpoint.rstrip('/')}/{target.bucket}/{quote(check_key(key), safe='/~')}"
    if query:
        url += f"?{urlencode(query, quote_via=quote)}"
    request = AWSRequest(method, url, headers=dict(headers or {}))
    credentials = Credentials(target.access_key_id, target.secret_access_key)
    region = target.region or "auto"
    S3SigV4QueryAuth(credentials, "s3", region, expires=expires_in).add_auth(request)
    return str(request.url)
