"""Functions, views, triggers and grants: applied together whenever one of them has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worker.db.plan import Step
from worker.db.records import Records, filled, record, release, texts
from worker.db.sqlfiles import GRANTS, SqlFile, SqlFiles
from worker.db.statements import Created, created

KIND = "repeatable"
ROLES = "role"

# The roles of the grants that need not exist. One that was dropped and created again is another.
GRANTED_ROLES = """
    select r.rolname::text, r.oid::text from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role', 'media_worker')
"""
RECORD_ROLES = f"""
delete from media_worker.migrations where kind = {ROLES!r};
insert into media_worker.migrations (kind, name, sha256, release)
select {ROLES!r}, granted.name, granted.oid, {{release}}
from ({GRANTED_ROLES}) as granted (name, oid);
"""  # noqa: S608

# Functions may call what a later file defines: their bodies are looked at when all are there.
BODIES_LATER = "set local check_function_bodies = off;"
BODIES_NOW = """
set local check_function_bodies = on;
do $bodies$
declare
    written record;
begin
    for written in
        select p.oid, p.oid::pg_catalog.regprocedure::text as name, l.lanname, (
            select pg_catalog.split_part(setting, '=', 2)
            from pg_catalog.unnest(p.proconfig) as setting where setting like 'search_path=%'
        ) as search_path
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_language as l on l.oid = p.prolang
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('public', 'media_worker')
            and p.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
    loop
        -- Each with the search path that it will run with.
        perform pg_catalog.set_config('search_path', coalesce(written.search_path, ''), true);
        begin
            perform case written.lanname
                when 'sql' then pg_catalog.fmgr_sql_validator(written.oid)
                when 'plpgsql' then pg_catalog.plpgsql_validator(written.oid)
            end;
        exception when others then
            raise exception using errcode = sqlstate,
                message = pg_catalog.format('function %s: %s', written.name, sqlerrm);
        end;
    end loop;
    perform pg_catalog.set_config('search_path', '', true);
end
$bodies$;
"""

# Whatever of these names this transaction has written was defined by the files just now. The
# slices' are recorded before the grants, which write to functions as well.
RECORD_DEFINED = """
with defined (kind, identity, relation) as (
    select 'function', p.oid::pg_catalog.regprocedure::text, ''
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname in ('public', 'media_worker') and p.proname = any ({functions})
        and p.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
    union all
    select 'view', c.oid::pg_catalog.regclass::text, ''
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('public', 'media_worker') and c.relkind = 'v'
        and c.relname = any ({views})
        and c.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
    union all
    select 'table', c.oid::pg_catalog.regclass::text, ''
    from pg_catalog.pg_class as c
    where c.relnamespace = 'public'::pg_catalog.regnamespace and c.relkind in ('r', 'p')
        and c.relname = any ({tables})
    union all
    select 'trigger', pg_catalog.quote_ident(t.tgname), t.tgrelid::pg_catalog.regclass::text
    from pg_catalog.pg_trigger as t
    where t.tgname = any ({triggers}) and t.tgparentid = 0
        and t.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid
)
insert into media_worker.defined_objects (kind, identity, relation, defined_in)
select kind, identity, relation, pg_catalog.pg_current_xact_id() from defined
on conflict (kind, identity, relation) do update set defined_in = excluded.defined_in;
"""

# What was recorded before and not now is defined nowhere any more: a function that went, or the
# old signature of one.
DROP_GONE = """
do $gone$
declare
    gone record;
begin
    for gone in
        delete from media_worker.defined_objects
        where kind = 'trigger' and defined_in <> pg_catalog.pg_current_xact_id()
        returning identity, relation
    loop
        if pg_catalog.to_regclass(gone.relation) is not null then
            execute pg_catalog.format(
                'drop trigger if exists %s on %s', gone.identity, gone.relation
            );
        end if;
    end loop;
    for gone in
        with deleted as (
            delete from media_worker.defined_objects
            where kind <> 'table' and defined_in <> pg_catalog.pg_current_xact_id()
            returning kind, identity
        )
        select case kind when 'view' then 'view' else 'routine' end as kind,
               pg_catalog.string_agg(identity, ', ') as identities
        from deleted group by deleted.kind order by deleted.kind desc
    loop
        execute pg_catalog.format('drop %s if exists %s', gone.kind, gone.identities);
    end loop;
    -- a case, since the planner may look at the name first: a function's is none of a table
    delete from media_worker.defined_objects
    where case when kind = 'table' then pg_catalog.to_regclass(identity) is null end;
end
$gone$;
"""


def definitions(files: Iterable[SqlFile]) -> tuple[Created, ...]:
    """The functions, views and triggers that the files define."""
    return tuple(
        found
        for file in files
        for found in created(file.text)
        if found.kind in ("function", "view", "trigger")
    )


def tables(migrations: Iterable[SqlFile]) -> tuple[Created, ...]:
    """The tables in `public` that the migrations create."""
    found = (one for file in migrations for one in created(file.text))
    return tuple(one for one in found if (one.kind, one.schema) == ("table", "public"))


def repeatable_steps(files: SqlFiles, records: Records, *, forced: bool = False) -> list[Step]:
    """One step that applies all files, if one has changed, something is lost, or `forced`."""
    repeatable = files.repeatable
    forced = bool(repeatable) and (forced or records.lost_objects)
    if not forced and not is_changed(repeatable, records.checksums or {}):
        return []
    slices = [file for file in repeatable if file.name != GRANTS]
    grants = [file for file in repeatable if file.name == GRANTS]
    parts = [
        BODIES_LATER,
        *(f"{file.text}\n;" for file in slices),
        BODIES_NOW,
        _record_defined([*definitions(slices), *tables(files.migrations)]),
        *(f"{file.text}\n;" for file in grants),
        _record_defined(definitions(grants)),
        DROP_GONE,
        "delete from media_worker.migrations where kind = 'repeatable';",
        *(record(KIND, file) for file in repeatable),
        RECORD_ROLES.format(release=filled("{}", release())),
    ]
    return [Step(KIND, "functions, triggers, views, grants", "\n".join(parts))]


def is_changed(files: Iterable[SqlFile], checksums: Mapping[tuple[str, str], str]) -> bool:
    """Whether a file was changed, added or taken away since the files were applied."""
    recorded = {name: sha256 for (kind, name), sha256 in checksums.items() if kind == KIND}
    return recorded != {file.name: file.sha256 for file in files}


def _record_defined(defined: Iterable[Created]) -> str:
    names: dict[str, list[str]] = {"function": [], "view": [], "trigger": [], "table": []}
    for found in defined:
        names[found.kind].append(found.name)
    return RECORD_DEFINED.format(
        functions=texts(names["function"]),
        views=texts(names["view"]),
        triggers=texts(names["trigger"]),
        tables=texts(names["table"]),
    )
