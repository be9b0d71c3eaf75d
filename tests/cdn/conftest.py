"""The fixtures of the CDN's tests."""

from __future__ import annotations

from tests.cdn.site import site as site
from tests.cdn.sql import audio_tracks as audio_tracks
from tests.cdn.sql import untargeted as untargeted
