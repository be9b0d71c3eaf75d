"""Do the application's tables and our triggers on them serve their purpose?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.db.pool import Database, Row
from worker.db.records import quoted
from worker.doctor.model import Finding

MIGRATE = "media-worker migrate"

# The functions' owner reads and writes these tables, whoever the worker logs in as.
TABLES = """
    select a.name, a.usable, a.problems, c.oid is not null as is_there,
        o.rolname::text as owner, coalesce(c.relforcerowsecurity, false) as is_forced,
        coalesce(c.relrowsecurity and not (o.rolsuper or o.rolbypassrls)
            and (c.relforcerowsecurity or not pg_has_role(o.oid, c.relowner, 'usage')), false)
            as is_blinding,
        coalesce(has_table_privilege(o.oid, c.oid, 'select'), false)
            and coalesce(has_table_privilege(o.oid, c.oid, 'insert'), false)
            and coalesce(has_table_privilege(o.oid, c.oid, 'update'), false) as is_usable
    from media_worker.application_tables as a
    left join pg_catalog.pg_class as c
        on c.relnamespace = 'public'::regnamespace and c.relname = a.name
        and c.relkind in ('r', 'p')
    cross join (
        select r.* from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        join pg_catalog.pg_roles as r on r.oid = p.proowner
        where n.nspname = 'media_worker' and p.proname = 'claim' limit 1
    ) as o
    order by a.name
"""
TRIGGERS = """
    select t.relation, t.trigger, t.problem, exists (
        select from media_worker.work_kinds as k where k.work_table = to_regclass(t.relation)
    ) and t.trigger like 'zz_media_worker_w%' as is_attached
    from media_worker.trigger_problems() as t
"""


async def check_tables(database: Database) -> list[Finding]:
    """Are they there, do they fit, and does row-level security hide none of their rows?"""
    rows = await database.call(TABLES)
    return [finding for row in rows for finding in _table_findings(row)]


async def check_triggers(database: Database) -> list[Finding]:
    """Without them, nobody hears of changed rows."""
    rows = await database.call(TRIGGERS)
    return [_trigger_finding(row) for row in rows] or [Finding("ok", "all triggers are in place")]


async def missing_triggers(database: Database) -> bool:
    """Whether `migrate` has something to put back."""
    rows = await database.call(TRIGGERS)
    return any(row["problem"] == "missing" and not row["is_attached"] for row in rows)


def _table_findings(row: Row) -> Iterator[Finding]:
    table, owner = quoted("public", row["name"]), quoted(row["owner"])
    if not row["usable"]:
        for problem in row["problems"]:
            yield Finding("warning", f"{table} is not used: {problem}", f"that, then {MIGRATE}")
    elif not row["is_there"]:
        yield Finding("error", f"the table {table} is gone", MIGRATE)
    elif row["is_blinding"]:
        what = f"row-level security hides rows of {table} from {owner}, who owns our functions"
        yield Finding("error", what, _unblinding(table, owner, row))
    elif not row["is_usable"]:
        mend = f"grant select, insert, update on {table} to {owner}"
        yield Finding("error", f"{owner}, who owns our functions, may not use {table}", mend)


def _unblinding(table: str, owner: str, row: dict[str, Any]) -> str:
    if row["is_forced"]:
        return f"alter table {table} no force row level security, or alter role {owner} bypassrls"
    return f"alter role {owner} bypassrls"


def _trigger_finding(row: Row) -> Finding:
    relation, trigger = row["relation"], row["trigger"]
    if row["problem"] == "disabled":
        mend = f"alter table {relation} enable trigger {trigger}"
    elif row["is_attached"]:
        mend = f"select media_worker.attach_work_table('{relation}')"
    else:
        mend = MIGRATE
    return Finding("error", f"the trigger {trigger} on {relation} is {row['problem']}", mend)
