"""Verifies the signatures of S3 requests, in the header or in the URL, as a strict server does."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
LONGEST_LIFETIME = 604_800
REGIONS = ("auto", "us-east-1")


class Refused(Exception):
    """The server's answer to a request that it does not take."""

    def __init__(self, status: int, code: str, message: str = "", **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


@dataclass(frozen=True)
class Request:
    """A request as it came: path and query are still encoded, names of headers in small letters."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def query(self) -> dict[str, str]:
        """Names and values, decoded."""
        pairs = (pair.partition("=") for pair in self.query_string.split("&") if pair)
        return {unquote(name): unquote(value) for name, _, value in pairs}


@dataclass(frozen=True)
class Claim:
    """What a request says of its own signature."""

    key_id: str
    scope: str
    date: str
    signed_headers: tuple[str, ...]
    signature: str
    payload: str
    lifetime: timedelta | None = None


def verify(request: Request, secrets: Mapping[str, str], now: datetime) -> None:
    """Raises `Refused` unless the request was signed by one of the keys, and is not too old."""
    claim = _in_url(request) if "X-Amz-Signature" in request.query else _in_header(request)
    if claim.key_id not in secrets:
        raise Refused(403, "InvalidAccessKeyId")
    _check_time(claim, now)
    _check_headers(claim, request)
    expected = _sign(claim, _to_sign(claim, request), secrets[claim.key_id])
    if not hmac.compare_digest(expected, claim.signature):
        raise Refused(403, "SignatureDoesNotMatch")


def _in_url(request: Request) -> Claim:
    query = request.query
    lifetime = query.get("X-Amz-Expires", "")
    if not lifetime.isdigit() or not 1 <= int(lifetime) <= LONGEST_LIFETIME:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Expires")
    key_id, _, scope = query["X-Amz-Credential"].partition("/")
    return Claim(
        key_id=key_id,
        scope=scope,
        date=query["X-Amz-Date"],
        signed_headers=tuple(query["X-Amz-SignedHeaders"].split(";")),
        signature=query["X-Amz-Signature"],
        payload="UNSIGNED-PAYLOAD",
        lifetime=timedelta(seconds=int(lifetime)),
    )


def _in_header(request: Request) -> Claim:
    algorithm, _, rest = request.headers.get("authorization", "").partition(" ")
    if algorithm != ALGORITHM:
        raise Refused(401, "Unauthorized")
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    key_id, _, scope = fields["Credential"].partition("/")
    return Claim(
        key_id=key_id,
        scope=scope,
        date=request.headers["x-amz-date"],
        signed_headers=tuple(fields["SignedHeaders"].split(";")),
        signature=fields["Signature"],
        payload=_payload(request),
    )


def _payload(request: Request) -> str:
    stated = request.headers.get("x-amz-content-sha256", "")
    if stated.startswith("STREAMING-"):
        raise Refused(501, "NotImplemented", f"{stated} is not implemented")
    if stated not in ("UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest()):
        raise Refused(400, "XAmzContentSHA256Mismatch")
    return stated


def _check_time(claim: Claim, now: datetime) -> None:
    signed_at = datetime.strptime(claim.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if claim.lifetime is None and abs(now - signed_at) > SKEW:
        raise Refused(403, "RequestTimeTooSkewed")
    if claim.lifetime is not None and now > signed_at + claim.lifetime:
        raise Refused(400, "ExpiredRequest", "Request has expired")
    if signed_at > now + SKEW:
        raise Refused(403, "AccessDenied", "Request is not valid yet")


def _check_headers(claim: Claim, request: Request) -> None:
    date, region, service, end = claim.scope.split("/")
    if (date, service, end) != (claim.date[:8], "s3", "aws4_request") or region not in REGIONS:
        raise Refused(403, "SignatureDoesNotMatch", "the scope is another")
    unsigned = {
        name
        for name in request.headers
        if name.startswith("x-amz-") and name not in claim.signed_headers
    }
    if unsigned or "host" not in claim.signed_headers:
        raise Refused(403, "AccessDenied", f"headers that are not signed: {sorted(unsigned)}")
    if absent := [name for name in claim.signed_headers if name not in request.headers]:
        raise Refused(403, "SignatureDoesNotMatch", f"signed headers that are missing: {absent}")


def _to_sign(claim: Claim, request: Request) -> str:
    headers = [f"{name}:{' '.join(request.headers[name].split())}" for name in claim.signed_headers]
    canonical = "\n".join(
        (
            request.method,
            quote(unquote(request.path), safe="/~"),
            _canonical_query(request),
            *headers,
            "",
            ";".join(claim.signed_headers),
            claim.payload,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return "\n".join((ALGORITHM, claim.date, claim.scope, digest))


def _canonical_query(request: Request) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in request.query.items()
        if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _sign(claim: Claim, text: str, secret: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in claim.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
