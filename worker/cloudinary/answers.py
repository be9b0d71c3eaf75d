"""What the Admin API answers, before it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True)
class Limit:
    """What an answer says of the account's rate limit: calls in a period, and those left."""

    allowed: int
    remaining: int
    reset_at: datetime


@dataclass(frozen=True)
class Answer:
    """`status` is None where there was no answer; `error` is the service's, or the network's."""

    status: int | None
    body: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    limit: Limit | None = None


def limit_of(headers: Mapping[str, str]) -> Limit | None:
    """The rate limit that the headers of an answer tell; None where they do not."""
    try:
        reset_at = parsedate_to_datetime(headers["X-FeatureRateLimit-Reset"])
        return Limit(
            allowed=int(headers["X-FeatureRateLimit-Limit"]),
            remaining=int(headers["X-FeatureRateLimit-Remaining"]),
            reset_at=reset_at if reset_at.tzinfo else reset_at.replace(tzinfo=UTC),
        )
    except (KeyError, ValueError):
        return None
