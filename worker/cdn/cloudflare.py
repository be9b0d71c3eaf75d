"""Cloudflare's call that purges a zone's cache, and what its refusals mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from worker.cdn.model import PurgeRefused
from worker.download.answers import retry_after
from worker.errors import Busy
from worker.logging import HIDDEN, redact

API = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 20.0
LONGEST_QUOTE = 200  # characters

# Seconds until the next try: of a service that is ill, that has had enough, that a person mends.
WHEN_ILL = 30.0
WHEN_TOO_MANY = 60.0
WHEN_SETTINGS_ARE_WRONG = 600.0

_NO_SUCH_ZONE = {"7000", "7003"}
_BAD_TOKEN = {"6003", "6103", "6111", "9103", "9106", "9109", "10000", "10001"}
_TOKEN = "let CLOUDFLARE_API_TOKEN purge the cache of the zone CLOUDFLARE_ZONE_ID"  # noqa: S105
_ZONE = "check CLOUDFLARE_ZONE_ID: the id that Cloudflare shows for the zone, not its name"
_URLS = "check that the target's public URL belongs to the zone CLOUDFLARE_ZONE_ID"


class Cloudflare:
    """One zone of the API. Every error is a `Busy`: of these URLs (`PurgeRefused`), or of all."""

    def __init__(self, zone_id: str, token: str, *, api: str = API) -> None:
        self._url = f"{api}/zones/{quote(zone_id, safe='')}/purge_cache"
        self._host = urlsplit(api).netloc
        self._token = token
        # costs more than a request: made once, and the clients are cheap
        self._tls = httpx.create_ssl_context(trust_env=False)

    def client(self) -> httpx.AsyncClient:
        """What requests are made with; close it."""
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.AsyncClient(headers=headers, verify=self._tls, trust_env=False)

    async def purge(self, client: httpx.AsyncClient, urls: Sequence[str]) -> None:
        """Have the zone's cache forget up to 30 URLs."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await client.post(
                    self._url, json={"files": list(urls)}, timeout=TIMEOUT_SECONDS
                )
        except (httpx.HTTPError, TimeoutError) as error:
            what = f"is not reachable ({type(error).__name__})"
            raise Busy(self._said(what), retry_after=WHEN_ILL) from None
        trouble = self._trouble(answer)
        if trouble is not None:
            raise trouble

    def _trouble(self, answer: httpx.Response) -> Busy | None:
        status, body = answer.status_code, _read(answer)
        if status == httpx.codes.OK and body.get("success") is True:
            return None
        said = self._said(f"answered {status}{self._quoted(body)}")
        if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
            usual = WHEN_ILL if status >= 500 else WHEN_TOO_MANY
            return Busy(said, retry_after=retry_after(answer.headers) or usual)
        advice = _advice(status, {str(error.get("code")) for error in _errors(body)})
        if advice is not None:
            return Busy(f"{said}: {advice}", retry_after=WHEN_SETTINGS_ARE_WRONG)
        if status in (httpx.codes.OK, httpx.codes.BAD_REQUEST) and "success" in body:
            return PurgeRefused(f"{said}: {_URLS}", retry_after=WHEN_SETTINGS_ARE_WRONG)
        return Busy(said, retry_after=WHEN_ILL)

    def _said(self, what: str) -> str:
        return f"the cache was not purged: {self._host} {what}"

    def _quoted(self, body: dict[str, Any]) -> str:
        """Cloudflare's own words, without anything secret that they may repeat."""
        words = " ".join(" ".join(str(e.get("message", "")) for e in _errors(body)).split())
        words = str(redact(words.replace(self._token, HIDDEN)))[:LONGEST_QUOTE]
        return f" ({words})" if words else ""


def _advice(status: int, codes: set[str]) -> str | None:
    if codes & _NO_SUCH_ZONE or status == httpx.codes.NOT_FOUND:
        return _ZONE
    if codes & _BAD_TOKEN or status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return _TOKEN
    return None


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _errors(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    errors = body.get("errors")
    yield from (e for e in errors if isinstance(e, dict)) if isinstance(errors, list) else ()
