"""The content type that a file's name stands for."""

from __future__ import annotations

import mimetypes

UNKNOWN = "application/octet-stream"

# What the standard library does not know in every version, or knows by an older name.
_MEDIA = {
    ".aiff": "audio/aiff",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".webp": "image/webp",
}


def content_type_of(*names: str) -> str:
    """The type of the first name whose extension tells one."""
    # Its own tables alone, without those of the machine: the same name, the same type everywhere.
    known = mimetypes.MimeTypes()
    for extension, kind in _MEDIA.items():
        known.add_type(kind, extension)
    found = (known.guess_type(f"./{name.rpartition('/')[2]}")[0] for name in names)
    return next((kind for kind in found if kind), UNKNOWN)
