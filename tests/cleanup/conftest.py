"""Deletions of objects begin with archived tracks, those of assets with a media library's rows."""

from __future__ import annotations

from tests.archive.conftest import archive, tracks
from tests.cleanup.library import cloudinary, library

__all__ = ["archive", "cloudinary", "library", "tracks"]
