"""Asks the team's own endpoint for fresh provider URLs of a track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from worker.archive.model import ROLES, FileRole, Track
from worker.errors import Temporary

TIMEOUT_SECONDS = 30.0
MOST_BYTES = 64 * 1024


class RefreshEndpoint:
    """`ARCHIVE_REFRESH_URL`: POST `{"track_id", "provider", "audio_url"}`.

    It answers 200 with `{"audio_url", "cover_url"?, "video_url"?}`, or 404 when there is nothing
    fresher. Anything else is an error that passes: the track is tried again, not given up.
    """

    def __init__(self, url: str, *, client: httpx.AsyncClient | None = None) -> None:
        self._url = url
        self._host = urlsplit(url).hostname
        self._client = client

    async def __call__(self, track: Track) -> Mapping[FileRole, str] | None:
        """Fresh URLs by role; None when there are none."""
        asked = {
            "track_id": str(track.id),
            "provider": track.provider,
            "audio_url": track.sources.get("audio"),
        }
        try:
            answer = await self._post(asked)
        except httpx.HTTPError as error:
            raise self._failed(type(error).__name__) from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK or len(answer.content) > MOST_BYTES:
            raise self._failed(f"status {answer.status_code}")
        return self._urls(answer)

    async def _post(self, asked: Mapping[str, Any]) -> httpx.Response:
        if self._client is not None:
            return await self._client.post(self._url, json=asked, timeout=TIMEOUT_SECONDS)
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(self._url, json=asked, timeout=TIMEOUT_SECONDS)

    def _urls(self, answer: httpx.Response) -> Mapping[FileRole, str]:
        try:
            found = answer.json()
        except ValueError:
            raise self._failed("no JSON") from None
        if not isinstance(found, dict):
            raise self._failed("no JSON object")
        return {
            role: found[f"{role}_url"]
            for role in ROLES
            if isinstance(found.get(f"{role}_url"), str) and found[f"{role}_url"]
        }

    def _failed(self, what: str) -> Temporary:
        return Temporary(f"ARCHIVE_REFRESH_URL ({self._host}) did not give a usable answer: {what}")


async def no_refresh(track: Track) -> None:
    """Without an endpoint there is nothing fresher."""
    del track
