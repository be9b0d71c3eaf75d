"""What may be asked of a signed URL or stored as a content type."""

from __future__ import annotations

import re

from worker.storage.keys import BadArgument

LONGEST_VALIDITY = 7 * 24 * 3600  # of a signed URL, in seconds

_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(\s*;[ -~]*)?", re.ASCII)


def check_lifetime(seconds: int) -> int:
    """The seconds themselves, when a signed URL can live that long. Raises `BadArgument`."""
    if not isinstance(seconds, int) or not 1 <= seconds <= LONGEST_VALIDITY:
        raise BadArgument(
            f"a signed URL lives 1 to {LONGEST_VALIDITY} seconds (7 days), not {seconds!r}"
        )
    return seconds


def check_content_type(content_type: str) -> str:
    """The content type itself, when it is one. Raises `BadArgument`."""
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise BadArgument(f"{content_type[:100]!r} is no content type such as audio/mpeg")
    return content_type
