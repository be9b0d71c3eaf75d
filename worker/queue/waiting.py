"""Waits for work that a person has asked for, and has it done where nobody else would do it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from worker.db.pool import Database
from worker.errors import Misconfigured
from worker.queue.store import patiently
from worker.settings import Settings

PAUSE_SECONDS = 0.2  # between two looks
CALL_TIMEOUT = 60.0  # seconds: asking for much takes a while
LOCK_TIMEOUT = 10.0  # seconds: the application may hold the row
# A try that is further away than this is not waited for.
PATIENCE_SECONDS = 60.0

# Whether the row j of a work table will not be tried again while somebody waits; see `lateness`.
IS_LATE = """(
            j.status = 'pending' and j.claim is null and (
                j.next_attempt_at > clock_timestamp() + %(patience)s * interval '1 second'
                or media_worker.is_paused(%(queue)s)
                or (j.parked and exists (
                    select from media_worker.outages as o where o.service = j.service
                    and o.since < clock_timestamp() - %(patience)s * interval '1 second'))))"""

State = Literal["done", "failed", "late", "runnable", "open"]
# A worker in this process, that does just the rows that it is told to.
Hand = Callable[[], AbstractAsyncContextManager[Callable[[Iterable[UUID]], None]]]


class Piece(Protocol):
    """A piece of work as it is now.

    `late`: its next try is further away than anybody wants to wait for.
    """

    @property
    def id(self) -> UUID: ...
    @property
    def state(self) -> State: ...


def is_open(piece: Piece) -> bool:
    """It is done now, or soon."""
    return piece.state in ("runnable", "open")


def lateness(queue: str) -> dict[str, Any]:
    """The parameters of `IS_LATE`."""
    return {"queue": queue, "patience": PATIENCE_SECONDS}


P = TypeVar("P", bound=Piece)


@dataclass(frozen=True)
class Answer:
    """What came of a command, `text` for people; `failed`: not all of it succeeded."""

    message: str
    text: str
    failed: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs. `success` says that the command was carried out, unless told otherwise."""
        return {"success": True, "message": self.message, **self.body}


@asynccontextmanager
async def patient_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, with deadlines for somebody who waits. Raises `Misconfigured` without one."""
    if settings.database_url is None:
        raise Misconfigured("DATABASE_URL is not set: set it to a PostgreSQL URL")
    url = settings.database_url.get_secret_value()
    database = Database(url, call_timeout=CALL_TIMEOUT, lock_timeout=LOCK_TIMEOUT)
    try:
        yield database
    finally:
        await database.close()


class Waiting:
    """Waits for rows of one queue; `hand` does them where no worker is alive."""

    def __init__(self, database: Database, queue: str, *, hand: Hand) -> None:
        self._database = database
        self._queue = queue
        self._hand = hand

    @patiently
    async def worker_is_alive(self) -> bool:
        """Whether anybody else does this work."""
        rows = await self._database.call(
            "select exists (select from public.worker_status as w"
            " where w.alive and %s = any (w.queues)) as alive",
            (self._queue,),
        )
        return bool(rows[0]["alive"])

    async def check_somebody_works(self, *, missing: Sequence[str]) -> None:
        """Raise `Misconfigured` where neither a worker nor, lacking settings, this process does."""
        if missing and not await self.worker_is_alive():
            raise Misconfigured(
                f"no worker is alive, and this process cannot do the work: set {', '.join(missing)}"
            )

    async def until_ended(
        self,
        look: Callable[[], Awaitable[Sequence[P]]],
        *,
        show: Callable[[Sequence[P]], None],
    ) -> Sequence[P]:
        """Look, and `show` what was found, until none of the work is done now or soon."""
        async with AsyncExitStack() as stack:
            do: Callable[[Iterable[UUID]], None] | None = None
            while True:
                pieces = await look()
                show(pieces)
                if not any(map(is_open, pieces)):
                    return pieces
                # looked at every time: the worker that was alive may have died meanwhile
                if do is None and not await self.worker_is_alive():
                    do = await stack.enter_async_context(self._hand())
                if do is not None:
                    do(piece.id for piece in pieces if piece.state == "runnable")
                await asyncio.sleep(PAUSE_SECONDS)


Bar = Callable[[int, int | None], None]


@contextmanager
def progress_bar(what: str, *, quiet: bool, in_bytes: bool = False) -> Iterator[Bar]:
    """A bar on a terminal, unless `quiet`; gives what is told how many of how many are done."""
    done = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn(what), BarColumn(), done, TimeElapsedColumn())
    off = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=off) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total, refresh=True)
