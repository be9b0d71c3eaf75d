-- archive: what a classic installation had left undone.

create or replace function media_worker.take_over_classic_archiving() returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    open_tracks uuid[];
begin
    if not media_worker.has_columns('public.track_archiving_jobs_classic', '{track_id,status}') then
        return 0;
    end if;
    execute $sql$
        select array_agg(distinct t.id) from public.track_archiving_jobs_classic as c
        join public.tracks as t on t.id::text = lower(c.track_id::text)
        where t.archived_to_storage is not true and media_worker.is_open_classic(c.status::text)
    $sql$ into open_tracks;
    return (select count(*) from media_worker.request_archiving(open_tracks));
end
$$;
comment on function media_worker.take_over_classic_archiving() is
    'Asks for the archiving of the tracks that wait in track_archiving_jobs_classic, where there is such a table; returns their number.';
