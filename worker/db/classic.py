"""A classic installation's functions, views, triggers and job tables, found in the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from worker.db.records import filled, quoted

RENAMED_TABLES = frozenset({"track_archiving_jobs", "cloudinary_cleanup_queue"})
LONGEST_NAME = 63  # bytes


@dataclass(frozen=True)
class ClassicObject:
    """Something to replace, or (`is_replaceable` false) an extension's, an aggregate's name."""

    kind: str
    oid: int
    name: str
    identity: str
    relation: str
    is_owned: bool
    is_replaceable: bool

    @property
    def keep(self) -> str:
        """The statement that stores its definition."""
        if self.kind == "function":
            return filled(_KEEP_FUNCTION, self.identity, self.identity)
        if self.kind == "view":
            return filled(_KEEP_VIEW, self.identity, self.identity, self.identity)
        name = f"{self.identity} on {self.relation}"
        return filled(_KEEP_TRIGGER, name, self.relation, self.name)

    @property
    def drop(self) -> str:
        """The statement that removes it; of others only what is replaced too depends on it."""
        if self.kind == "trigger":
            return f"drop trigger {self.identity} on {self.relation};"
        kind = "view" if self.kind == "view" else "routine"
        return f"drop {kind} if exists {self.identity} cascade;"


def classic_functions(
    connection: Connection[Any], names: Iterable[str], *, mentioning: Iterable[str]
) -> list[ClassicObject]:
    """Functions in `public` of these names, and trigger functions that write to these tables."""
    tables = "|".join(mentioning)
    pattern = rf"\m({tables})\M" if tables else None
    rows = connection.execute(_FUNCTIONS, {"names": sorted(names), "pattern": pattern})
    return [ClassicObject("function", *row) for row in rows]


def classic_views(connection: Connection[Any], names: Iterable[str]) -> list[ClassicObject]:
    """Views in `public` of these names."""
    return [ClassicObject("view", *row) for row in connection.execute(_VIEWS, [sorted(names)])]


def classic_triggers(
    connection: Connection[Any], functions: Iterable[ClassicObject]
) -> list[ClassicObject]:
    """The triggers that call one of these functions."""
    oids = [function.oid for function in functions]
    return [ClassicObject("trigger", *row) for row in connection.execute(_TRIGGERS, [oids])]


def foreign_dependents(
    connection: Connection[Any], classic: Iterable[ClassicObject]
) -> Iterator[str]:
    """What would be lost with the classic objects, and is none of them."""
    oids = {kind: [one.oid for one in classic if one.kind == kind] for kind in _KINDS}
    for dependent, needed in connection.execute(_DEPENDENTS, oids):
        yield (
            f"{dependent} depends on the classic {needed}, which is about to be replaced: drop it "
            "or change it, and create it again afterwards"
        )


def classic_name(name: str) -> str:
    """The name that a classic table and what belongs to it is given."""
    suffix = "_classic"
    short = name.encode()[: LONGEST_NAME - len(suffix)].decode(errors="ignore")
    return short + suffix


def table_parts(connection: Connection[Any], table: str) -> list[tuple[str, str]]:
    """Kind and name of the table's keys (`constraint`), other indexes and sequences."""
    rows = connection.execute(_PARTS, {"table": quoted("public", table)})
    return [(kind, name) for kind, name in rows]


def renaming(connection: Connection[Any], table: str) -> list[str]:
    """Statements that rename the table and its parts: their names are ours."""
    place = quoted("public", classic_name(table))
    statements = [f"alter table {quoted('public', table)} rename to {quoted(classic_name(table))};"]
    for kind, name in table_parts(connection, table):
        new = quoted(classic_name(name))
        if kind == "constraint":
            statements.append(f"alter table {place} rename constraint {quoted(name)} to {new};")
        else:
            statements.append(f"alter {kind} {quoted('public', name)} rename to {new};")
    return statements


_KINDS = ("function", "view", "trigger")

_KEEP_FUNCTION = (
    "insert into media_worker.classic_objects (kind, name, definition)"
    " values ('function', {}, pg_get_functiondef({}::regprocedure));"
)
_KEEP_VIEW = (
    "insert into media_worker.classic_objects (kind, name, definition)"
    " values ('view', {}, 'create view ' || {} || ' as ' || pg_get_viewdef({}::regclass));"
)
_KEEP_TRIGGER = (
    "insert into media_worker.classic_objects (kind, name, definition)"
    " select 'trigger', {}, pg_get_triggerdef(oid) from pg_trigger"
    " where tgrelid = {}::regclass and tgname = {};"
)

_IS_EXTENSION = """
    exists (
        select from pg_depend d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
"""

_FUNCTIONS = f"""
select p.oid, p.proname::text, p.oid::regprocedure::text, '', pg_has_role(p.proowner, 'usage'),
       p.prokind in ('f', 'p') and not {_IS_EXTENSION}
from pg_proc p
where p.pronamespace = 'public'::regnamespace and (
    p.proname = any (%(names)s)
    or (p.prorettype = 'trigger'::regtype and p.prosrc ~* %(pattern)s::text)
)
order by p.oid desc
"""  # noqa: S608

_VIEWS = """
select c.oid, c.relname::text, c.oid::regclass::text, '', pg_has_role(c.relowner, 'usage'), true
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'v' and c.relname = any (%s)
order by c.oid desc
"""

_TRIGGERS = """
select t.oid, t.tgname::text, quote_ident(t.tgname), t.tgrelid::regclass::text,
       pg_has_role(c.relowner, 'usage'), true
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and t.tgparentid = 0 and t.tgfoid = any (%s)
order by t.oid
"""

# A view depends through its rule, and on another view's rows through that view's type.
_DEPENDENTS = """
with classic (classid, objid) as (
    select 'pg_proc'::regclass, unnest(%(function)s::oid[])
    union all select 'pg_class'::regclass, unnest(%(view)s::oid[])
    union all select 'pg_trigger'::regclass, unnest(%(trigger)s::oid[])
), needed (classid, objid, shown) as (
    select classid, objid, pg_describe_object(classid, objid, 0) from classic
    union all
    select 'pg_type'::regclass, t.oid, pg_describe_object('pg_class'::regclass, t.typrelid, 0)
    from pg_type t where t.typrelid = any (%(view)s::oid[])
), dependents as (
    select distinct case when r.oid is null then d.classid else 'pg_class'::regclass end as classid,
           coalesce(r.ev_class, d.objid) as objid, n.shown
    from needed n
    join pg_depend d on d.refclassid = n.classid and d.refobjid = n.objid and d.deptype <> 'i'
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
)
select pg_describe_object(d.classid, d.objid, 0), d.shown
from dependents d
where not exists (select from classic c where (c.classid, c.objid) = (d.classid, d.objid))
order by 1
"""

_PARTS = """
select 'constraint', conname::text from pg_constraint
where conrelid = %(table)s::regclass and contype in ('p', 'u', 'x')
union all
select 'index', c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = %(table)s::regclass
    and not exists (
        select from pg_constraint
        where conindid = i.indexrelid and contype in ('p', 'u', 'x')
    )
union all
select 'sequence', c.relname::text from pg_depend d
join pg_class c on c.oid = d.objid and c.relkind = 'S'
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    and d.refobjid = %(table)s::regclass and d.deptype in ('a', 'i')
"""
