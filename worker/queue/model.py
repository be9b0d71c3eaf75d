"""What the kernel and the capabilities tell each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from worker.errors import Temporary, WorkError
from worker.logging import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Claimed:
    """A work row that this process holds: every write about it names the token."""

    id: UUID
    token: UUID
    attempts: int
    crashes: int


@dataclass(frozen=True)
class Done:
    """The work is done. `reached_service`: its service has answered, so no outage goes on."""

    note: str | None = None
    reached_service: bool = True


@dataclass(frozen=True)
class Again:
    """The work is to be tried again after `delay` seconds (None: at once).

    `announced`: the log has the reason already.
    """

    message: str
    delay: float | None
    counted: bool = True
    announced: bool = False


@dataclass(frozen=True)
class Failed:
    """The work is given up; the message says what to do."""

    message: str


@dataclass(frozen=True)
class Recorded:
    """The action has ended the row itself, in the transaction that recorded its result."""

    status: str = "completed"


Outcome = Done | Again | Failed | Recorded
Action = Callable[[Sequence[Claimed]], Awaitable[Mapping[UUID, Outcome | WorkError]]]
FailHook = Callable[[Claimed, str], Awaitable[None]]


@dataclass(frozen=True)
class WorkKind:
    """One kind of work: how it is found in the database, and what is done about it.

    `name`, `queue` and `task` are those of the row in `media_worker.work_kinds`. `act` is given
    claimed rows and returns what came of each; an error that it raises stands for all of them.
    `max_attempts` counts the tries that end as `Temporary`. `run_seconds` bounds one run.
    `on_failure` replaces the plain ending of failed rows. `set_size` is how many rows a run is
    given where no job says so.
    """

    name: str
    queue: str
    task: str
    act: Action
    max_attempts: int
    run_seconds: float = 3600.0
    on_failure: FailHook | None = None
    set_size: int = 1


def one_by_one(action: Callable[[Claimed], Awaitable[Outcome]]) -> Action:
    """Make an action for one row into one for a set; a failing row harms none of the others."""

    async def act(works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        outcomes: dict[UUID, Outcome | WorkError] = {}
        for work in works:
            try:
                outcomes[work.id] = await action(work)
            except WorkError as error:
                outcomes[work.id] = error
            except Exception as error:
                outcomes[work.id] = unexpected(error, id=str(work.id))
        return outcomes

    return act


def unexpected(error: Exception, **where: str) -> Temporary:
    """What a bug in an action means for its rows: the traceback is logged, and the try counts."""
    log.error("a run failed unexpectedly", exc_info=error, **where)
    return Temporary(f"unexpected error ({type(error).__name__}): the worker's log has the details")
