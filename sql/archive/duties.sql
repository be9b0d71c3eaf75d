-- archive: what workers do besides their runs.

create or replace function media_worker.archive_promote(window_ interval default null) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    due uuid[];
begin
    if not media_worker.lead('archive.promote') then
        return 0;
    end if;
    select array_agg(d.id) into due from (
        select t.id from public.tracks as t
        where t.status = 'completed' and t.archived_to_storage is not true and t.audio_url <> ''
            and media_worker.utc(t.archive_scheduled_at) <= now()
            and media_worker.utc(t.archive_scheduled_at) >= coalesce(now() - window_, '-infinity')
            and not exists (select from public.track_archiving_jobs as j
                            where j.track_id = t.id and j.status <> 'completed')
        order by t.archive_scheduled_at limit 1000
        for key share skip locked
    ) as d;
    return (select count(*) from media_worker.request_archiving(due));
end
$$;
comment on function media_worker.archive_promote(interval) is
    'Asks for the archiving of up to 1,000 tracks that have fallen due within the interval (null: ever) and have no open or failed job; returns their number.';

create or replace function media_worker.archive_schedule_missing() returns integer
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    scheduled integer;
begin
    if not media_worker.lead('archive.schedule') then
        return 0;
    end if;
    with written as (
        update public.tracks as t
        set archive_scheduled_at =
            media_worker.archive_time(t.provider::text, media_worker.utc(t.created_at))
        where t.id in (
            select x.id from public.tracks as x
            where x.status = 'completed' and x.archived_to_storage is not true and x.audio_url <> ''
                and x.archive_scheduled_at is null
            order by x.id limit 1000
            for no key update skip locked)
        returning t.archive_scheduled_at
    )
    -- a trigger of the application's may have taken it away again: that is no progress
    select count(w.archive_scheduled_at) into scheduled from written as w;
    return scheduled;
end
$$;
comment on function media_worker.archive_schedule_missing() is
    'Schedules up to 1,000 completed tracks that have no schedule (triggers were off, or they are older than Media Worker); returns their number.';

create or replace function media_worker.after_migrate() returns integer
language sql security definer set search_path = ''
as $$ select media_worker.archive_schedule_missing() $$;
comment on function media_worker.after_migrate() is
    'What is left to do for rows that were there before, in steps: called until it returns 0.';

create or replace function media_worker.archive_configure(prefixes text[]) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.archive_config set storage_prefixes = prefixes
    where storage_prefixes is distinct from prefixes
$$;
comment on function media_worker.archive_configure(text[]) is
    'Tells the triggers which URLs point into the team''s own storage.';

create or replace function media_worker.archive_mend(o media_worker.objects, exists_ boolean)
returns text
language plpgsql security definer set search_path = ''
as $$
begin
    perform from public.tracks as t
    where t.id = o.owner_id::uuid and media_worker.is_playable(t.status::text, t.audio_url::text)
        and (t.archived_to_storage or exists (
            select from public.track_archiving_jobs as j
            where j.track_id = t.id and j.status in ('pending', 'processing')));
    if found then
        perform media_worker.request_archiving(array[o.owner_id::uuid], true);
        return 'archived again';
    elsif exists_ then
        insert into public.storage_cleanup_queue
            (bucket, object_key, source_table, source_id, reason, service)
        values (o.bucket, o.object_key, o.owner_table, o.owner_id, 'orphan', o.service);
        update media_worker.objects as x set doomed = true where x.id = o.id;
        return 'deleted';
    end if;
    return 'forgotten';
end
$$;
comment on function media_worker.archive_mend(media_worker.objects, boolean) is
    'A stored file is not what the ledger says: its track is archived again, or the object goes if no track counts on it.';
