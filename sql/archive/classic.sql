-- archive: what a classic installation had left undone.

create or replace function media_worker.take_over_classic_jobs() returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    open_tracks uuid[];
    known integer;
begin
    select count(*) into known from pg_catalog.pg_attribute as a
    where a.attrelid = pg_catalog.to_regclass('public.track_archiving_jobs_classic')
        and a.attname in ('track_id', 'status') and not a.attisdropped;
    if known < 2 then
        return 0;
    end if;
    execute $sql$
        select array_agg(distinct t.id) from public.track_archiving_jobs_classic as c
        join public.tracks as t on t.id::text = lower(c.track_id::text)
        where t.archived_to_storage is not true
            and coalesce(lower(c.status::text), 'pending')
                not in ('completed', 'done', 'failed', 'cancelled', 'canceled')
    $sql$ into open_tracks;
    return (select count(*) from media_worker.request_archiving(open_tracks));
end
$$;
comment on function media_worker.take_over_classic_jobs() is
    'Asks for the archiving of the tracks that wait in track_archiving_jobs_classic, where there is such a table; returns their number.';
