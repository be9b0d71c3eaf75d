"""The Admin API over the official SDK: one request a call, and never a second one unasked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import urllib3

from worker.cloudinary.answers import Answer, Limit, limit_of
from worker.settings.cloudinary import CloudinaryAccess

Method = Literal["GET", "POST", "PUT", "DELETE"]
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
LONGEST_ERROR = 300  # characters


class AdminApi:
    """Calls the Admin API of one account; blocking, for many threads.

    The SDK's own connections would send a cut DELETE again, after who knows what has happened,
    and its configuration is global: it is given a connector and the account with each call.
    """

    def __init__(self, access: CloudinaryAccess, *, connections: int = 8) -> None:
        # here, since the SDK reads the environment when it is imported, and may not like it
        import cloudinary

        self._access = access
        self._base = f"{access.api_base}/{cloudinary.API_VERSION}/{access.cloud_name}"
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=connections, retries=False, **cloudinary.CERT_KWARGS
        )

    @property
    def access(self) -> CloudinaryAccess:
        """The account."""
        return self._access

    def close(self) -> None:
        """Close its connections."""
        self._pool.clear()

    def call(self, method: Method, path: Sequence[str], params: Mapping[str, Any]) -> Answer:
        """One request; whatever comes of it is an answer, and nothing is raised."""
        from cloudinary.api_client.execute_request import execute_request
        from cloudinary.utils import normalize_params

        if not all(map(_is_name, path)):
            return Answer(404, error=f"nothing has this name: {'/'.join(path)[:LONGEST_ERROR]}")
        connector = _Connector(self._pool, again=method == "GET")
        url = "/".join([self._base, *(quote(part, safe="") for part in path)])
        query, body = (params, None) if method == "GET" else (None, params)
        try:
            found = execute_request(
                http_connector=connector,
                method=method,
                params=normalize_params(query),
                headers={"Content-Type": "application/json"},
                auth={"key": self._access.api_key, "secret": self._access.api_secret},
                api_url=url,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                **({} if body is None else {"body": json.dumps(body).encode()}),
            )
        except Exception as error:  # the SDK raises bare ones, too
            return connector.answer(error=_plain(error))
        return connector.answer(body=found)


class _Connector:
    """What the SDK sends its request with; remembers the answer's status and headers."""

    def __init__(self, pool: urllib3.PoolManager, *, again: bool) -> None:
        self._pool = pool
        # a question may be asked twice: the connection may have been closed for its age
        self._retries = urllib3.Retry(total=1, status=0, redirect=0) if again else False
        self._status: int | None = None
        self._limit: Limit | None = None

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """As the SDK calls it."""
        response = self._pool.request(method, url, redirect=False, retries=self._retries, **options)
        self._status = response.status
        self._limit = limit_of(response.headers)
        return response

    def answer(self, *, body: Mapping[str, Any] | None = None, error: str | None = None) -> Answer:
        """What came of the request."""
        return Answer(self._status, body or {}, error, self._limit)


def _is_name(part: str) -> bool:
    # the SDK takes quotes back, and such a part would lead to another path
    return not {".", ".."} & set(part.split("/"))


def _plain(error: Exception) -> str:
    # of a page that is no JSON the SDK quotes everything
    if str(error).startswith("Error parsing server response"):
        return "the answer is no JSON"
    return str(error).partition("?")[0][:LONGEST_ERROR]
