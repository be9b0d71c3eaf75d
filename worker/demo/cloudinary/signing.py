"""Signatures of requests, answers and notifications."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.demo.cloudinary.wire import Params, Refused, Value

OLDEST = 3600  # seconds that a signed request stays valid

_UNSIGNED = {"file", "cloud_name", "resource_type", "api_key", "signature"}
# The bulk calls take these without having them signed.
_UNSIGNED_IN_BULK = {"notification_url", "batch_id"}
_BULK = {"tags", "context", "metadata"}


@dataclass(frozen=True)
class Keys:
    """What an account's clients prove themselves with; `algorithm` is `sha1` or `sha256`."""

    api_key: str
    api_secret: str = field(repr=False)
    algorithm: str = "sha1"

    def digest(self, text: bytes) -> str:
        """The hash of the text with the secret behind it, in hex."""
        return hashlib.new(self.algorithm, text + self.api_secret.encode()).hexdigest()

    def sign(self, values: Mapping[str, Value]) -> str:
        """The signature of a request's parameters."""
        return self.digest(string_to_sign(values).encode())

    def check_signed(self, params: Params, *, action: str, now: float) -> None:
        """Raises Refused for a wrong or missing signature, an unknown key, an old timestamp."""
        signature, api_key = params.text("signature"), params.text("api_key")
        if not signature or not api_key:
            raise Refused(401, "Must supply signature and api_key")
        if api_key != self.api_key:
            raise Refused(401, f"Unknown API key {api_key}")
        left_out = _UNSIGNED | (_UNSIGNED_IN_BULK if action in _BULK else set())
        signed = {name: value for name, value in params.values.items() if name not in left_out}
        if not hmac.compare_digest(self.sign(signed), signature):
            text = string_to_sign(signed)
            raise Refused(401, f"Invalid Signature {signature}. String to sign - '{text}'.")
        _check_fresh(params.text("timestamp"), now)

    def check_basic(self, header: str) -> None:
        """Raises Refused for an Authorization header that is not this account's."""
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            given = b""
        expected = f"{self.api_key}:{self.api_secret}".encode()
        if scheme.lower() != "basic" or not hmac.compare_digest(given, expected):
            raise Refused(401, "Invalid credentials")

    def of_delivery(self, source: str) -> str:
        """The part of a URL that opens an asset that is not public."""
        text = (source + self.api_secret).encode()
        digest = hashlib.sha1(text, usedforsecurity=False).digest()
        return f"s--{base64.urlsafe_b64encode(digest).decode()[:8]}--"


def string_to_sign(values: Mapping[str, Value]) -> str:
    """Sorted pairs; lists are joined with commas, an `&` in a value cannot start another."""
    pairs = (
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in values.items()
        if value
    )
    return "&".join(sorted(pair.replace("&", "%26") for pair in pairs))


def _check_fresh(timestamp: str, now: float) -> None:
    if not timestamp.isdecimal():
        raise Refused(400, "Missing required parameter - timestamp")
    if int(timestamp) < now - OLDEST:
        reported = datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d %H:%M:%S +0000")
        message = f"Stale request - reported time is {reported} which is more than 1 hour ago"
        raise Refused(400, message)
