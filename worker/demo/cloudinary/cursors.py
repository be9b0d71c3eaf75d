"""Cursors between the pages of a listing: opaque to the client, nothing kept here."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from worker.demo.cloudinary.wire import Refused


def encode(generation: int, place: Any) -> str:
    """A cursor for what stands behind a place."""
    text = json.dumps([generation, place]).encode()
    return base64.b32hexencode(text).decode().rstrip("=").lower()


def decode(cursor: str, *, generation: int) -> Any:
    """The place of a cursor, None without one. Raises Refused for one that does not hold."""
    if not cursor:
        return None
    try:
        padded = cursor.upper() + "=" * (-len(cursor) % 8)
        given, place = json.loads(base64.b32hexdecode(padded))
    except (binascii.Error, ValueError, TypeError) as error:
        raise Refused(400, "Invalid value for parameter next_cursor") from error
    if given != generation:
        raise Refused(400, "Invalid value for parameter next_cursor")
    return tuple(place) if isinstance(place, list) else place
