"""What can go wrong with a piece of work, in the three kinds that decide what happens next.

An error is translated into one of these at the edge where it arises (the download, the storage
client, the database), so that everything above only has to know the kinds.
Their messages end up in `error_message`, logs and on screens: they say what to do, and they
never carry a secret or a signed URL.
"""

from __future__ import annotations


class WorkError(Exception):
    """A piece of work could not be done; the class says what follows from that."""


class Outage(WorkError):
    """One of the team's own services does not work: tried again until it does, without counting.

    `service` names it (`storage`, `cdn:r2_cdn`, `cloudinary`): everything that needs the same
    service waits with it. `retry_after` is in seconds, where the service named a time.
    """

    def __init__(self, service: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.service = service
        self.retry_after = retry_after


class Temporary(WorkError):
    """A foreign service failed for now: tried again, and counted.

    `retry_after` is in seconds, where the service named a time.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(WorkError):
    """Something of ours is in the way for a moment (a key that another run writes, the database):
    tried again soon, without counting. `retry_after` is in seconds.
    """

    # Whoever raises it says so in the log, for all the work that it concerns at once.
    announced = False

    def __init__(self, message: str, *, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(WorkError):
    """Trying again cannot help: the work fails at once."""


class Gone(Permanent):
    """The source says that the file is not there any more, or not for us (403, 404, 410, 451)."""


class Pointless(WorkError):
    """There is nothing left to do: the work ends completed, as `cancelled: {message}`."""


class ClaimLost(WorkError):
    """Another run has taken this work over: stop, write nothing, delete nothing."""


class Misconfigured(Exception):
    """A setting is missing or wrong; the message names it and says what to set."""
