-- cdn: what people call.

create or replace function public.sync_to_cdn(
    track_id text, operation text default 'upload', file_path text default null,
    sidecar_path text default null
) returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    track record;
begin
    perform media_worker.check_cdn_operation(operation);
    select t.track_id::text as id, coalesce(sync_to_cdn.file_path, t.file_path::text) as file_path
    into track from public.audio_tracks as t
    where t.track_id::text = sync_to_cdn.track_id for no key update;
    perform media_worker.check_syncable(sync_to_cdn.track_id, operation, track.id, track.file_path);
    update public.audio_tracks as t
    set file_path = coalesce(sync_to_cdn.file_path, t.file_path::text),
        sidecar_path = coalesce(sync_to_cdn.sidecar_path, t.sidecar_path::text)
    where t.track_id::text = sync_to_cdn.track_id
        and (coalesce(sync_to_cdn.file_path, t.file_path::text),
             coalesce(sync_to_cdn.sidecar_path, t.sidecar_path::text))
            is distinct from (t.file_path::text, t.sidecar_path::text);
    return query select r from public.sync_tracks_to_cdn(array[sync_to_cdn.track_id], operation) as r;
end
$$;
comment on function public.sync_to_cdn(text, text, text, text) is
    'Has a track copied to every CDN target (upload: cdn_enabled becomes true), or its copies deleted (delete: cdn_enabled becomes false). Paths that are given are written to its row. A track that is gone can be deleted as long as cdn_sync_jobs knows it. Returns the ids of its rows in cdn_sync_jobs; none while no worker has named a target yet: the work is done once one has. Raises P0002 for an unknown track, 22023 for an unknown operation and for an upload without file_path.';

create or replace function media_worker.check_cdn_operation(operation text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
    if operation is null or operation not in ('upload', 'delete') then
        raise exception 'unknown operation %', coalesce(quote_literal(operation), 'null')
            using errcode = 'invalid_parameter_value', hint = 'The operations are upload and delete.';
    end if;
end
$$;
comment on function media_worker.check_cdn_operation(text) is 'Raises an error for anything but upload and delete.';

create or replace function media_worker.check_syncable(
    track_id text, operation text, found_id text, file_path text
) returns void
language plpgsql stable security definer set search_path = ''
as $$
begin
    if found_id is null and not (operation = 'delete' and exists (
            select from public.cdn_sync_jobs as j
            where j.track_hash = media_worker.track_hash(check_syncable.track_id))) then
        raise exception 'unknown track %', coalesce(quote_literal(track_id), 'null')
            using errcode = 'no_data_found', hint = 'Give the track_id of a row of audio_tracks'
                || case operation when 'delete' then ', or of one of cdn_sync_jobs.' else '.' end;
    elsif operation = 'upload' and coalesce(file_path, '') = '' then
        raise exception 'track % cannot be uploaded: it has no file_path', quote_literal(track_id)
            using errcode = 'invalid_parameter_value',
                  hint = 'Give its file_path: a key in the source bucket, or an http(s) URL.';
    end if;
end
$$;
comment on function media_worker.check_syncable(text, text, text, text) is
    'Raises an error for a track that is not known or has nothing to upload.';

create or replace function public.sync_tracks_to_cdn(track_ids text[], operation text default 'upload')
returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    uploads boolean := operation = 'upload';
    there text[];
    targets text[];
begin
    perform media_worker.check_cdn_operation(operation);
    there := array(select t.track_id::text from unnest(track_ids) as g(track_id)
                   join public.audio_tracks as t on t.track_id::text = g.track_id
                   order by t.track_id::text for no key update of t);
    update public.audio_tracks as t set cdn_enabled = uploads
    where t.track_id::text = any (there) and t.cdn_enabled is distinct from uploads;
    if uploads then
        return query select r from media_worker.request_cdn(there) as r;
        return;
    end if;
    return query select r from media_worker.request_cdn(
        array(select g from unnest(track_ids) as g except select g from unnest(there) as g), true) as r;
    select array_agg(p.track_id), array_agg(p.target) into there, targets
    from media_worker.cdn_everywhere(there) as p;
    return query select r from media_worker.request_cdn_on(there, targets) as r;
end
$$;
comment on function public.sync_tracks_to_cdn(text[], text) is
    'As sync_to_cdn() for many tracks. Unknown ones, and uploads without file_path, are skipped and missing from the answer: the ids of the others'' rows in cdn_sync_jobs. 22023 for an unknown operation.';

create or replace function media_worker.cdn_everywhere(track_ids text[])
returns table (track_id text, target text)
language sql stable security definer set search_path = ''
as $$
    select g.track_id, c.name from unnest(track_ids) as g(track_id)
    cross join media_worker.cdn_targets as c where c.active
    union
    select j.track_id, j.target from unnest(track_ids) as g(track_id)
    join public.cdn_sync_jobs as j on j.track_hash = media_worker.track_hash(g.track_id)
$$;
comment on function media_worker.cdn_everywhere(text[]) is
    'Wherever these tracks can have a copy, though nothing may say so: each with its targets.';

create or replace function public.backfill_cdn(max_rows integer default 1000) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    asked text[];
    targets text[];
    free text[];
begin
    perform media_worker.check_max_rows(max_rows);
    select array_agg(p.track_id), array_agg(p.target) into asked, targets
    from media_worker.cdn_missing(max_rows) as p;
    -- who is deleting a track just now must see its job rows: that one is left for later
    free := array(select t.track_id::text from public.audio_tracks as t
                  where t.track_id::text = any (asked) for key share skip locked);
    free := array(select media_worker.lock_free_copy_jobs(free));
    perform media_worker.request_cdn_on(array_agg(p.track_id), array_agg(p.target), false, true)
    from unnest(asked, targets) as p(track_id, target) where p.track_id = any (free);
    return cardinality(free);
end
$$;
comment on function public.backfill_cdn(integer) is
    'Queues the upload of up to max_rows tracks that are not on every CDN target, the oldest first, behind new work. Those that are queued or have failed there are passed over (see retry_failed_cdn_syncs()), so it can be called until it returns 0. Returns the number of tracks queued.';

create or replace function media_worker.cdn_missing(max_rows integer)
returns table (track_id text, target text)
language sql stable security definer set search_path = ''
as $$
    with missing as (
        select t.track_id::text as track_id, c.name as target,
            media_worker.utc(t.created_at) as created_at
        from public.audio_tracks as t cross join media_worker.cdn_targets as c
        where c.active and coalesce(t.cdn_enabled, true) and t.file_path <> ''
            and t.storage_locations ->> c.name is distinct from 'true'
            and not exists (select from public.cdn_sync_jobs as j
                            where j.track_id = t.track_id::text and j.target = c.name
                                and j.status <> 'completed')
        -- the copies of max_rows tracks are among these
        order by 3 nulls first, 1
        limit max_rows * (select count(*) from media_worker.cdn_targets as c where c.active)
    ), placed as (
        select m.*, dense_rank() over (order by m.created_at nulls first, m.track_id) as place
        from missing as m
    )
    select p.track_id, p.target from placed as p where p.place <= max_rows
$$;
comment on function media_worker.cdn_missing(integer) is
    'The oldest tracks that are to have a copy on a target where they have none, and nothing is under way; each with the targets.';

create or replace function public.retry_failed_cdn_syncs() returns bigint
language sql security definer set search_path = ''
as $$ select public.retry_failed('cdn') $$;
comment on function public.retry_failed_cdn_syncs() is
    'Has all failed work of cdn_sync_jobs done again, with attempts counted anew; returns the number of rows.';
