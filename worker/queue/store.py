"""The kernel's SQL calls. Each is one short statement, repeated until the database takes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol
from uuid import UUID

from psycopg import errors
from tenacity import retry, retry_if_exception_type, wait_random_exponential

from worker.db.pool import DatabaseUnavailable
from worker.queue.model import Claimed

Row = dict[str, Any]
LONGEST_MESSAGE = 2000

# The application has the row, or the database is away: both pass.
PASSING = (
    DatabaseUnavailable,
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
patiently = retry(
    retry=retry_if_exception_type(PASSING),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)


class Caller(Protocol):
    """The part of `worker.db.pool.Database` that stores use."""

    async def call(self, query: str, params: Sequence[Any] | None = None) -> list[Row]: ...


class WorkStore:
    """Claims and ends work rows, for one worker process."""

    def __init__(self, database: Caller, worker_id: UUID) -> None:
        self._database = database
        self.worker_id = worker_id

    @patiently
    async def claim(
        self, kind: str, ids: Sequence[UUID], token: UUID
    ) -> tuple[list[Claimed], list[UUID]]:
        """Take the runnable rows among `ids`: those taken, and those that somebody holds."""
        rows = await self._database.call(
            "select * from media_worker.claim(%s, %s, %s, %s)",
            (kind, list(ids), self.worker_id, token),
        )
        taken = [
            Claimed(row["id"], token, row["attempts"], row["crashes"])
            for row in rows
            if not row["held"]
        ]
        return taken, [row["id"] for row in rows if row["held"]]

    @patiently
    async def finish(
        self,
        kind: str,
        token: UUID,
        notes: dict[UUID, str | None],
        *,
        status: str = "completed",
        reached_service: bool = False,
    ) -> None:
        """End rows, completed or failed, each with its message."""
        await self._database.call(
            "select media_worker.finish(%s, %s, %s, %s, %s::text[], %s)",
            (kind, token, list(notes), status, _texts(notes.values()), reached_service),
        )

    @patiently
    async def reschedule(
        self,
        kind: str,
        token: UUID,
        tries: dict[UUID, tuple[float | None, str | None]],
        *,
        counted: bool,
    ) -> None:
        """Give rows back, each to be tried again after a delay in seconds (None: at once)."""
        delays = [delay for delay, _ in tries.values()]
        messages = _texts(message for _, message in tries.values())
        await self._database.call(
            "select media_worker.reschedule(%s, %s, %s, %s::float8[], %s::text[], %s)",
            (kind, token, list(tries), delays, messages, counted),
        )

    @patiently
    async def wait_for_service(
        self,
        kind: str,
        token: UUID,
        ids: Sequence[UUID],
        *,
        service: str,
        message: str,
        probe_delays: Sequence[float],
    ) -> None:
        """Have rows wait for the end of an outage; the try does not count."""
        await self._database.call(
            "select media_worker.wait_for_service(%s, %s, %s, %s, %s, %s::float8[])",
            (kind, token, list(ids), service, *_texts([message]), list(probe_delays)),
        )

    async def holds(self, kind: str, work: Claimed) -> bool:
        """Whether the row is still this run's."""
        rows = await self._database.call(
            "select media_worker.holds(%s, %s, %s) as held", (kind, work.id, work.token)
        )
        return bool(rows[0]["held"])

    @patiently
    async def died_alone(self, kind: str, work: Claimed) -> bool:
        """The row's own process died: it is tried again later, or (true) to be failed."""
        rows = await self._database.call(
            "select media_worker.died_alone(%s, %s, %s) as fatal", (kind, work.token, work.id)
        )
        return bool(rows[0]["fatal"])

    @patiently
    async def requeue(self, kind: str, ids: Collection[UUID]) -> None:
        """Put rows back into the queue that this worker did not get to."""
        await self._database.call("select media_worker.requeue(%s, %s)", (kind, list(ids)))

    async def disown(self, tokens: Collection[UUID]) -> int:
        """Free the rows of this worker whose claim is none of `tokens`."""
        return await self._number(
            "select media_worker.disown(%s, %s::uuid[]) as number", (self.worker_id, list(tokens))
        )

    async def wake_held(self, kind: str, ids: Sequence[UUID]) -> list[UUID]:
        """Queue those of the rows that nobody holds any more; returns the others."""
        rows = await self._database.call(
            "select * from media_worker.wake_held(%s, %s) as id", (kind, list(ids))
        )
        return [row["id"] for row in rows]

    async def beat(
        self, *, host: str, pid: int, version: str, queues: list[str], running: int
    ) -> None:
        """Keep this worker's claims alive."""
        await self._database.call(
            "select media_worker.beat(%s, %s, %s, %s, %s, %s)",
            (self.worker_id, host, pid, version, queues, running),
        )

    async def leave(self) -> None:
        """Say that this worker has stopped in order."""
        await self._database.call("select media_worker.leave(%s)", (self.worker_id,))

    async def rescue(self) -> int:
        """Free what dead workers hold."""
        return await self._number("select media_worker.rescue(%s) as number", (self.worker_id,))

    async def promote(self) -> int:
        """Make runnable what has fallen due."""
        return await self._number("select media_worker.promote() as number")

    async def reconcile(self, kinds: Sequence[str]) -> int:
        """Wake runnable rows that no job names."""
        return await self._number("select media_worker.reconcile(%s) as number", (list(kinds),))

    async def runnable(self, kinds: Sequence[str]) -> int:
        """How many rows could run now."""
        return await self._number(
            "select media_worker.count_runnable(%s) as number", (list(kinds),)
        )

    async def forget(self, days: int) -> int:
        """Delete work that ended longer ago than that, once an hour over all workers."""
        return await self._number(
            "select case when media_worker.take_turn('forget', interval '1 hour') then"
            " media_worker.forget_work(make_interval(days => %s))"
            " + media_worker.forget_dead_jobs() else 0 end as number",
            (days,),
        )

    async def _number(self, query: str, params: Sequence[Any] | None = None) -> int:
        rows = await self._database.call(query, params)
        return int(rows[0]["number"])


def plain_text(message: str) -> str:
    """As PostgreSQL takes it, and not too long: a foreign server may have said anything."""
    clean = message.replace("\0", "").encode(errors="replace").decode()
    return clean if len(clean) <= LONGEST_MESSAGE else f"{clean[:LONGEST_MESSAGE]}…"


def _texts(messages: Iterable[str | None]) -> list[str | None]:
    return [None if message is None else plain_text(message) for message in messages]
