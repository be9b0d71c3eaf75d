-- What a classic installation had left undone.

create or replace function media_worker.take_over_classic_jobs() returns integer
language sql security definer set search_path = ''
as $$
    select media_worker.take_over_classic_archiving() + media_worker.take_over_classic_deletions()
$$;
comment on function media_worker.take_over_classic_jobs() is
    'Takes over the open rows of renamed classic tables; returns their number. May be repeated.';

create or replace function media_worker.is_open_classic(status text) returns boolean
language sql immutable set search_path = ''
as $$
    select coalesce(lower(status), 'pending')
        not in ('completed', 'done', 'failed', 'cancelled', 'canceled')
$$;
comment on function media_worker.is_open_classic(text) is
    'Whether a row of a classic table with this status was still to be done.';

create or replace function media_worker.has_columns(relation text, names text[]) returns boolean
language sql stable set search_path = ''
as $$
    select count(*) = cardinality(names) from pg_catalog.pg_attribute as a
    where a.attrelid = pg_catalog.to_regclass(relation)
        and a.attname = any (names) and not a.attisdropped
$$;
comment on function media_worker.has_columns(text, text[]) is
    'Whether there is such a table, with all of these columns.';
