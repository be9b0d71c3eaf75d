"""What an answer of Cloudinary means for the work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.cloudinary.answers import Answer
from worker.errors import Busy, Outage, Permanent, Temporary, WorkError

SERVICE = "cloudinary"
SETTINGS = "CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET (or CLOUDINARY_URL)"
LIMITED = (420, 429)
# How long to wait where Cloudinary names no time, in seconds.
USUAL_PAUSE = 60.0
# The reset is told in whole seconds, and its clock may be behind ours.
MARGIN = 1.0


class NotFound(Permanent):
    """Cloudinary does not know what was asked for (404)."""


class Refused(Temporary):
    """Cloudinary does not accept the call (400, 409, 422, …)."""


class NoAccess(Outage):
    """The account's keys are not accepted (401, 403)."""


class Limited(Busy):
    """The account's rate limit is reached: the call was not carried out. `retry_after` is the
    time until there are calls again.
    """

    announced = True


# After these it is certain that nothing was carried out.
NOT_CARRIED_OUT = (NotFound, Refused, NoAccess, Limited)


def body_of(answer: Answer) -> Mapping[str, Any]:
    """What was asked for. Raises `Outage`, `Limited`, `NotFound` and `Refused`."""
    if answer.status is not None and answer.status < 300 and answer.error is None:
        return answer.body
    raise _failure(answer)


def limited(seconds: float) -> Limited:
    """There are no calls left for so many seconds."""
    return Limited(
        f"Cloudinary's rate limit is reached: waiting {seconds:.0f} s for its reset",
        retry_after=seconds,
    )


def _failure(answer: Answer) -> WorkError:
    match answer.status:
        case None:
            return Outage(SERVICE, f"Cloudinary cannot be reached: {answer.error}")
        case status if status in LIMITED:
            return limited(_seconds_left(answer))
        case 401 | 403:
            return NoAccess(
                SERVICE, f"Cloudinary refuses access ({answer.status}): check {SETTINGS}"
            )
        case 404:
            return NotFound(f"Cloudinary: {answer.error}")
        case status if 400 <= status < 500 and status != 408:
            return Refused(f"Cloudinary refuses the call: {answer.error}")
        case status:
            return Outage(SERVICE, f"Cloudinary answers {status}: {answer.error}")


def _seconds_left(answer: Answer) -> float:
    limit = answer.limit
    if limit is None or limit.remaining > 0:
        return USUAL_PAUSE
    return max((limit.reset_at - datetime.now(UTC)).total_seconds(), 0.0) + MARGIN
