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
    ) as d;
    return (select count(*) from media_worker.request_archiving(array(
        select media_worker.lock_free_tracks(due))));
end
$$;
comment on function media_worker.archive_promote(interval) is
    'Asks for the archiving of up to 1,000 tracks that have fallen due within the interval (null: ever), have no open or failed job and are held by nobody; returns their number.';

create or replace function media_worker.archive_schedule_missing() returns integer
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    wanted uuid[];
begin
    if not media_worker.lead('archive.schedule') then
        return 0;
    end if;
    delete from media_worker.overlooked_tracks as o
    where o.what = 'refusal' and o.noted_at < now() - interval '1 day';
    select array_agg(u.id) into wanted from (
        select x.id from public.tracks as x
        where x.status = 'completed' and x.archived_to_storage is not true and x.audio_url <> ''
            and x.archive_scheduled_at is null
            and not exists (select from media_worker.overlooked_tracks as o
                            where o.track_id = x.id and o.what = 'refusal')
        order by x.id limit 1000
        for no key update of x skip locked) as u;
    perform media_worker.archive_schedule(wanted);
    insert into media_worker.overlooked_tracks (track_id, what)
    select t.id, 'refusal' from public.tracks as t
    where t.id = any (wanted) and t.archive_scheduled_at is null;
    return coalesce(cardinality(wanted), 0);
end
$$;
comment on function media_worker.archive_schedule_missing() is
    'Schedules up to 1,000 completed tracks that have no schedule (triggers were off, or they are older than Media Worker); returns how many it has looked at.';

create or replace function media_worker.archive_schedule(track_ids uuid[]) returns void
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    each uuid;
begin
    update public.tracks as t
    set archive_scheduled_at =
        media_worker.archive_time(t.provider::text, media_worker.utc(t.created_at))
    where t.id = any (track_ids);
exception
when lock_not_available or deadlock_detected then
    raise;  -- that passes
when others then
    -- a constraint or trigger of the application's refuses a row: it must not stop the others
    if cardinality(track_ids) = 1 then
        raise warning 'media_worker: track % cannot be scheduled: %', track_ids[1], sqlerrm;
    else
        foreach each in array track_ids loop
            perform media_worker.archive_schedule(array[each]);
        end loop;
    end if;
end
$$;
comment on function media_worker.archive_schedule(uuid[]) is
    'Writes the schedule of tracks, of each on its own where one of them is refused.';

create or replace function media_worker.archive_overlooked() returns integer
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    notes bigint[];
    gone uuid[];
    changed uuid[];
begin
    if not media_worker.lead('archive.overlooked') then
        return 0;
    end if;
    with note as materialized (
        select o.id, o.track_id, o.what from media_worker.overlooked_tracks as o
        where o.what <> 'refusal' order by o.id limit 1000
    ), free as materialized (
        select media_worker.lock_free_tracks(array_agg(distinct note.track_id)) as id from note
    )
    select array_agg(n.id),
        array_agg(distinct n.track_id) filter (where n.what = 'deletion'),
        array_agg(distinct n.track_id) filter (where n.what <> 'deletion')
    into notes, gone, changed
    from note as n where n.track_id in (select free.id from free);
    if notes is null then
        return 0;
    end if;
    perform media_worker.archive_schedule(array(
        select t.id from public.tracks as t
        join media_worker.overlooked_tracks as o on o.track_id = t.id and o.what = 'policy'
        where o.id = any (notes) and t.archived_to_storage is not true
            and t.archive_scheduled_at =
                media_worker.time_after(media_worker.utc(t.created_at), o.scheduled_after)));
    perform media_worker.request_archiving(array(
        select t.track_id from media_worker.playable_tracks as t
        where t.track_id = any (changed) and (t.archived or t.scheduled_at <= clock_timestamp())));
    -- one that is there again owns its files
    perform media_worker.forget_tracks(array(
        select g.id from unnest(gone) as g (id)
        where not exists (select from public.tracks as t where t.id = g.id)));
    delete from media_worker.overlooked_tracks as o where o.id = any (notes);
    return cardinality(notes);
end
$$;
comment on function media_worker.archive_overlooked() is
    'Does for up to 1,000 tracks what could not be done at once because others held them; returns the number of notes. Those that are held still wait for the next time.';

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
