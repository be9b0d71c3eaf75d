"""Which object keys are safe to use."""

from __future__ import annotations

import re

from worker.errors import Permanent

MAX_BYTES = 1024

# What a proxy, a CDN or a client on the way may decode, and then resolve as a path.
_ENCODED = re.compile(r"%(?:2e|2f|5c|25|0[0-9a-f]|1[0-9a-f]|7f)", re.IGNORECASE)


class BadArgument(Permanent, ValueError):
    """A call that no storage could carry out; the message says what to change."""


class BadKey(BadArgument):
    """An object key that different servers understand differently, or refuse."""


def check_key(key: str) -> str:
    """The key itself, when every S3 server, proxy and CDN takes it for the same object.

    Raises `BadKey` (a `ValueError`, and permanent for a piece of work) otherwise.
    """
    if reason := _shape(key) or _path(key):
        raise BadKey(f"object key {key[:100]!r} {reason}: use a plain relative path")
    return key


def _shape(key: str) -> str:
    if not key:
        return "is empty"
    if not key.isascii():
        return "has characters other than ASCII"
    if len(key) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    return "" if key.isprintable() else "has control characters"


def _path(key: str) -> str:
    if key.startswith("/"):
        return "begins with a slash"
    if "\\" in key:
        return "has a backslash"
    if _ENCODED.search(key):
        return "has an encoded dot, slash or control character"
    segments = key.split("/")
    if any(segment in (".", "..") for segment in segments):
        return "has a dot segment"
    return "has an empty segment" if "" in segments[:-1] else ""
