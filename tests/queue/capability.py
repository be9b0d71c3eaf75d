"""A capability that exists in the tests alone: a table, its trigger call and an action.

What becomes of a row is written in its column `plan`; every run of a row leaves a line in
`test_runs`. So a test sees the same whether the worker is in its own process or in another one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from worker.ability import Ability, Tools
from worker.db.pool import Database
from worker.errors import Busy, ClaimLost, Outage, Permanent, Pointless, Temporary, WorkError
from worker.queue.model import Claimed, Done, Outcome, WorkKind, one_by_one

Outcomes = Mapping[UUID, Outcome | WorkError]
PAUSE = 0.02

SCHEMA = """
    create table test_work (
        like media_worker.work_template including all,
        plan text not null default 'ok',
        wanted integer not null default 1
    );
    insert into media_worker.work_kinds (kind, work_table, queue, task, ids_per_job, keep_where)
    values ('test', 'test_work', 'maintenance', 'test.work', 100, $$w.plan = 'keep'$$);
    select media_worker.attach_work_table('test_work');

    create table test_runs (
        number bigint primary key generated always as identity,
        id uuid not null,
        pid integer not null,
        wanted integer not null,
        attempts integer not null,
        began_at timestamptz not null default clock_timestamp(),
        ended_at timestamptz
    );
"""

PLANS: dict[str, Outcome | WorkError] = {
    "ok": Done(),
    "keep": Done(),
    "noted": Done("a note"),
    "temporary": Temporary("the provider answers 503"),
    "busy": Busy("somebody else has it", retry_after=0.2),
    "long busy": Busy("somebody else has it", retry_after=3600),
    "outage": Outage("storage", "the storage answers 503"),
    "permanent": Permanent("it is broken: mend it"),
    "pointless": Pointless("nobody wants it any more"),
    "lost": ClaimLost("taken over"),
    "unprintable": Permanent("it said \0 and \ud800"),
}


def install(url: str, *, ids_per_job: int = 100) -> None:
    """Bring the capability into a migrated database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(
            "update media_worker.work_kinds set ids_per_job = %s where kind = 'test'",
            [ids_per_job],
        )


def capability(tools: Tools) -> Sequence[Ability]:
    """For `compose(settings, capabilities=capability)`: rows one after the other."""
    return [Ability(kinds=(work_kind(DoAsPlanned(tools.database)),))]


def work_kind(action: DoAsPlanned, **changes: Any) -> WorkKind:
    """The kind of work that the rows of `test_work` are."""
    values = {"act": one_by_one(action.one), "max_attempts": 3, "run_seconds": 60.0, **changes}
    return WorkKind(name="test", queue="maintenance", task="test.work", **values)


def sets(tools: Tools) -> Sequence[Ability]:
    """The same with rows in sets: one statement notes what they ask for."""
    return [Ability(kinds=(work_kind(action := DoAsPlanned(tools.database), act=action.all),))]


class DoAsPlanned:
    """The action."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, work: Claimed) -> Outcome:
        """Note that the run has begun, do what the plan says, note that it has ended."""
        number, plan = await self._begin(work)
        while plan == "wait":
            await asyncio.sleep(PAUSE)
            plan = await self._plan(work)
        await self._database.call(
            "update test_runs set ended_at = clock_timestamp() where number = %s", [number]
        )
        return _carry_out(plan)

    async def all(self, works: Sequence[Claimed]) -> Outcomes:
        """Note all that the rows ask for as they are now."""
        await self._database.call(
            "insert into test_runs (id, pid, wanted, attempts)"
            " select id, %s, wanted, attempts from test_work where id = any (%s) and claim = %s",
            [os.getpid(), [work.id for work in works], works[0].token],
        )
        return {work.id: Done() for work in works}

    async def _begin(self, work: Claimed) -> tuple[int, str]:
        rows = await self._database.call(
            "with row as (select id, plan, wanted from test_work where id = %s and claim = %s)"
            " insert into test_runs (id, pid, wanted, attempts)"
            " select row.id, %s, row.wanted, %s from row"
            " returning number, (select plan from row) as plan",
            [work.id, work.token, os.getpid(), work.attempts],
        )
        if not rows:
            raise Pointless("the row has gone")
        return rows[0]["number"], rows[0]["plan"]

    async def _plan(self, work: Claimed) -> str:
        rows = await self._database.call("select plan from test_work where id = %s", [work.id])
        return str(rows[0]["plan"]) if rows else "ok"


def _carry_out(plan: str) -> Outcome:
    match plan:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "bug":
            raise ZeroDivisionError("a bug")
    outcome = PLANS[plan]
    if isinstance(outcome, WorkError):
        raise outcome
    return outcome
