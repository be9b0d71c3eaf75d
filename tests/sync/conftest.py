"""The fixtures of the mirror's tests."""

from __future__ import annotations

from tests.sync.site import cloudinary as cloudinary
from tests.sync.site import site as site
