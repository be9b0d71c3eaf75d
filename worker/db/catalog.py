"""Reading a table of the application from the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

RELATION_KINDS = {
    "r": "table",
    "p": "table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "c": "type",
}


@dataclass(frozen=True)
class ExistingColumn:
    """`base` is the type below domains, with `[]` for an array; `labels` are an enum's.

    `must_be_given`: an INSERT that does not name the column fails.
    """

    name: str
    base: str
    shown: str
    labels: tuple[str, ...] | None
    must_be_given: bool
    generated: bool


@dataclass(frozen=True)
class ExistingTable:
    """`kind` is `pg_class.relkind`; `is_owned` and `is_blinding` are about the current login."""

    oid: int
    kind: str
    owner: str
    user: str
    is_owned: bool
    is_blinding: bool
    is_forced: bool
    is_child: bool
    primary_key: list[str]
    columns: dict[str, ExistingColumn]


def existing_table(connection: Connection[Any], name: str) -> ExistingTable | None:
    """The relation of that name in `public`, whatever it is."""
    row = connection.cursor(row_factory=dict_row).execute(_TABLE, [name]).fetchone()
    if row is None:
        return None
    found = connection.execute(_COLUMNS, [row["oid"]])
    columns = [ExistingColumn(*column) for column in found]
    return ExistingTable(**row, columns={column.name: column for column in columns})


_TABLE = """
select c.oid, c.relkind::text as kind, pg_get_userbyid(c.relowner)::text as owner,
       current_user::text as user, pg_has_role(c.relowner, 'usage') as is_owned,
       c.relkind in ('r', 'p') and row_security_active(c.oid) as is_blinding,
       c.relforcerowsecurity as is_forced, c.relispartition as is_child,
       array(
           select a.attname::text
           from pg_index i
           cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
           join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
           where i.indrelid = c.oid and i.indisprimary
           order by k.place
       ) as primary_key
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relname = %s
"""

_COLUMNS = """
with recursive resolved (oid, base) as (
    select oid, oid from pg_type where typtype <> 'd'
    union all
    select t.oid, r.base from pg_type t join resolved r on t.typbasetype = r.oid
    where t.typtype = 'd'
)
select a.attname::text,
       case when b.typcategory = 'A' and b.typelem <> 0 then e.typname || '[]' else b.typname end,
       format_type(a.atttypid, a.atttypmod),
       case when b.typtype = 'e' then array(
           select enumlabel::text from pg_enum where enumtypid = b.oid order by enumsortorder
       ) end,
       a.attnotnull and not a.atthasdef and a.attidentity = '',
       a.attgenerated <> '' or a.attidentity = 'a'
from pg_attribute a
join resolved r on r.oid = a.atttypid
join pg_type b on b.oid = r.base
left join pg_type e on e.oid = b.typelem
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
