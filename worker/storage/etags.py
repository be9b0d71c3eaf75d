"""What an ETag says of an object's content."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MD5 = re.compile(r"[0-9a-f]{32}")
_ENCRYPTION = "x-amz-server-side-encryption"


def md5_of(etag: str, headers: Iterable[tuple[str, str]]) -> str:
    """The MD5 of the content, where the ETag in an answer with these headers is one; else empty.

    Encrypted with a key of the customer's or of a key service, ETags only look like MD5s; and
    those of objects that came in parts have a dash.
    """
    foreign = any(
        name.lower().startswith(_ENCRYPTION) and value != "AES256" for name, value in headers
    )
    return etag if _MD5.fullmatch(etag) and not foreign else ""
