"""May this login do what the worker has to?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.db.pool import Database
from worker.db.records import quoted
from worker.doctor.model import Finding

ROLE = "media_worker"

LOGIN = """
    select current_user::text as login, r.oid is not null and n.oid is not null as installed,
        pg_has_role(r.oid, 'member') as is_member, pg_has_role(r.oid, 'usage') as inherits,
        pg_has_role(n.nspowner, 'usage') as is_owner,
        current_setting('server_version_num')::int >= 160000 as grants_inherit
    from (select) as one
    left join pg_catalog.pg_roles as r on r.rolname = 'media_worker'
    left join pg_catalog.pg_namespace as n on n.nspname = 'media_worker'
"""
LACKING = """
    with ours as (
        select n.oid, n.nspname from pg_catalog.pg_namespace as n
        where n.nspname in ('media_worker', 'procrastinate')
    )
    select 'schema ' || o.nspname as thing from ours as o
    where not has_schema_privilege(o.oid, 'usage')
    union all
    select 'function ' || o.nspname || '.' || p.proname
    from ours as o join pg_catalog.pg_proc as p on p.pronamespace = o.oid
    where not has_function_privilege(p.oid, 'execute')
    union all
    select case c.relkind when 'S' then 'sequence ' else 'table ' end
        || o.nspname || '.' || c.relname
    from ours as o join pg_catalog.pg_class as c on c.relnamespace = o.oid
    where o.nspname = 'procrastinate' and case
        when c.relkind in ('r', 'p') then
            not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
        when c.relkind = 'S' then not has_sequence_privilege(c.oid, 'usage')
        else false end
    order by 1
"""
GRANTS = (
    "grant usage on schema media_worker, procrastinate to media_worker; "
    "grant execute on all routines in schema media_worker, procrastinate to media_worker; "
    "grant select, insert, update, delete on all tables in schema procrastinate to media_worker; "
    "grant usage, select on all sequences in schema procrastinate to media_worker"
)


async def check_access(database: Database) -> list[Finding]:
    """Membership in the role, and the role's own rights; nothing before the first migrate."""
    login = (await database.call(LOGIN))[0]
    if not login["installed"]:
        return []
    problems = list(_membership(login))
    if problems:
        return problems
    lacking = [row["thing"] for row in await database.call(LACKING)]
    if not lacking:
        return [Finding("ok", f"{login['login']} may do the worker's work")]
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return [Finding("error", f"{login['login']} may not use {lacking[0]}{more}", GRANTS)]


def _membership(login: dict[str, Any]) -> Iterator[Finding]:
    name = quoted(login["login"])
    if login["inherits"] or login["is_owner"]:
        return
    what = f"{login['login']} may not do the worker's work"
    if not login["is_member"]:
        yield Finding("error", f"{what}: it is no member of {ROLE}", f"grant {ROLE} to {name}")
    elif login["grants_inherit"]:
        mend = f"grant {ROLE} to {name} with inherit true"
        yield Finding("error", f"{what}: it does not inherit from {ROLE}", mend)
    else:
        mend = f"alter role {name} inherit"
        yield Finding("error", f"{what}: it does not inherit from {ROLE}", mend)
