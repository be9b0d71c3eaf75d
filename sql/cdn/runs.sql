-- cdn: what a run of the worker reads and records.

create or replace function media_worker.cdn_wanted(track_id text, target text, track_deleted boolean)
returns text
language sql stable security definer set search_path = ''
as $$
    select case
        when t.track_id is not null and not t.enabled then 'delete'
        when t.file_path <> '' then 'upload'
        -- gone, or inserted again without a file: what the deleted one had is not wanted
        when cdn_wanted.track_deleted then 'delete'
        -- without a file a copy stays that was there before, not one that was never completed
        when t.track_id is not null
            and media_worker.as_object(t.storage_locations) ->> target is distinct from 'true'
            and exists (select from media_worker.objects as o
                        where o.owner_table = 'audio_tracks' and o.owner_id = t.track_id
                            and o.service = 'cdn:' || target) then 'delete'
        else 'nothing' end
    from (values (1)) as one
    left join media_worker.cdn_tracks as t on t.track_id = cdn_wanted.track_id
$$;
comment on function media_worker.cdn_wanted(text, text, boolean) is
    'What a target is to be made to agree with, by the track''s row as it is now: upload, delete, or nothing (an earlier copy stays). track_deleted: a DELETE of the track was seen.';

create or replace function media_worker.cdn_load(job_id uuid, token uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.cdn_sync_jobs;
    t media_worker.cdn_tracks;
    wanted text;
begin
    select * into j from public.cdn_sync_jobs as w where w.id = job_id and w.claim = token;
    if j.id is null then
        return null;
    end if;
    select * into t from media_worker.cdn_tracks as x where x.track_id = j.track_id;
    wanted := media_worker.cdn_wanted(j.track_id, j.target, j.track_deleted);
    return jsonb_build_object(
        'track_id', j.track_id, 'target', j.target, 'wanted', wanted,
        'exists', t.track_id is not null, 'deleted', j.track_deleted, 'enabled', t.enabled,
        'file_path', t.file_path, 'sidecar_path', t.sidecar_path,
        'metadata', media_worker.as_json(t.metadata),
        'version', media_worker.cdn_version(t.file_path, t.sidecar_path, t.metadata, t.enabled),
        'attempts', j.attempts, 'waited', extract(epoch from clock_timestamp() - j.wanted_since),
        'stale', j.stale,
        'behind', coalesce(j.due_by > clock_timestamp() + interval '1 hour', false),
        'first', coalesce(j.target = media_worker.first_cdn_target(), false),
        'objects', coalesce((
            select jsonb_agg(jsonb_build_object(
                'role', o.role, 'bucket', o.bucket, 'key', o.object_key, 'bytes', o.bytes,
                'sha256', o.sha256, 'etag', o.etag, 'content_type', o.content_type,
                'source_hash', o.source_hash,
                'state', case when o.state = 'live' and (o.doomed or o.claim <> token)
                    then 'suspect' else o.state end) order by o.id desc)
            from media_worker.objects as o
            where o.owner_table = 'audio_tracks' and o.owner_id = j.track_id
                and o.service = 'cdn:' || j.target), '[]'));
end
$$;
comment on function media_worker.cdn_load(uuid, uuid) is
    'The track of a claimed job as it is now, what is wanted (upload, delete, nothing), and what the ledger knows of it on the job''s target: objects that others are at are suspect. exists: there is such a row; deleted: a DELETE of it was seen. Null when the claim is lost. waited: seconds since the work was asked for. behind: new work goes before it.';

create or replace function media_worker.cdn_stale(job_id uuid, token uuid) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    update public.cdn_sync_jobs as w set stale = true, updated_at = clock_timestamp()
    where w.id = job_id and w.claim = token;
    return found;
end
$$;
comment on function media_worker.cdn_stale(uuid, uuid) is
    'Something that caches may hold is about to be overwritten or deleted. False: the claim is lost.';

create or replace function media_worker.cdn_withdraw(job_id uuid, token uuid) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.cdn_sync_jobs := media_worker.cdn_lock(job_id, token);
    t media_worker.cdn_tracks;
    wanted text;
    stays boolean;
begin
    if j.id is null then
        return 'claim lost';
    end if;
    select * into t from media_worker.cdn_tracks as x where x.track_id = j.track_id;
    wanted := media_worker.cdn_wanted(j.track_id, j.target, j.track_deleted);
    if wanted = 'upload' then
        perform media_worker.cdn_run_again(j, token);
        return 'changed';
    elsif wanted = 'nothing' then
        perform media_worker.cdn_end_pointless(j, token, t.track_id is not null);
        return 'changed';
    elsif t.track_id is not null then
        -- without a file, copies on other targets stay: what cdn_url names may be one of them
        stays := t.enabled and t.cdn_url is distinct from j.cdn_url;
        perform media_worker.cdn_write_track(t.track_id, media_worker.cdn_locations(
            media_worker.as_object(t.storage_locations), j.target, false),
            case when stays then t.cdn_url end, case when stays then t.cdn_uploaded_at end);
    end if;
    return 'withdrawn';
end
$$;
comment on function media_worker.cdn_withdraw(uuid, uuid) is
    'Before a track''s objects are deleted: its row says no more that they are there. Returns withdrawn; changed (they are wanted again, or nothing is any more: the run has ended) or claim lost.';

create or replace function media_worker.cdn_deleted(
    job_id uuid, token uuid, message text default null, ends boolean default true
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    update public.cdn_sync_jobs as w
    set cdn_url = null, sidecar_cdn_url = null, uploaded_at = null,
        stale = w.stale and not ends,
        operation = case when w.status = 'pending' then w.operation else 'delete' end,
        updated_at = clock_timestamp()
    where w.id = job_id and w.claim = token;
    if not found then
        return 'claim lost';
    elsif ends then
        perform media_worker.finish('cdn', token, array[job_id], 'completed', array[message], true);
    else
        perform media_worker.end_outages_of(media_worker.kind('cdn'), array[job_id]);
    end if;
    return 'deleted';
end
$$;
comment on function media_worker.cdn_deleted(uuid, uuid, text, boolean) is
    'The objects are gone from the target: records it and ends the job, or (ends false) leaves that to the run, which has a cache to purge yet. Returns deleted or claim lost.';

create or replace function media_worker.cdn_record(
    job_id uuid, token uuid, version text, in_team_storage boolean, cdn_url text,
    sidecar_cdn_url text, sent boolean, stale boolean, message text default null,
    ends boolean default true
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.cdn_sync_jobs := media_worker.cdn_lock(job_id, token);
    t media_worker.cdn_tracks;
    lost text;
    moment timestamptz := clock_timestamp();
begin
    if j.id is null then
        return 'claim lost';
    end if;
    select * into t from media_worker.cdn_tracks as x where x.track_id = j.track_id;
    if t.track_id is null and not j.track_deleted then
        perform media_worker.cdn_end_pointless(j, token, false);
        return 'gone';
    elsif t.track_id is null or version is distinct from media_worker.cdn_version(
            t.file_path, t.sidecar_path, t.metadata, t.enabled) then
        perform media_worker.cdn_run_again(j, token);
        return case when t.track_id is null then 'gone' else 'changed' end;
    end if;
    lost := media_worker.cdn_unconfirmed(j);
    if lost is not null then
        return 'lost ' || lost;
    end if;
    perform media_worker.cdn_write_copy(j, in_team_storage, cdn_url, sent, moment);
    update public.cdn_sync_jobs as w
    set cdn_url = cdn_record.cdn_url, sidecar_cdn_url = cdn_record.sidecar_cdn_url,
        uploaded_at = case when sent then moment else coalesce(w.uploaded_at, moment) end,
        operation = case when w.status = 'pending' then w.operation else 'upload' end,
        file_path = t.file_path, sidecar_path = t.sidecar_path, track_deleted = false,
        stale = cdn_record.stale, from_team_storage = in_team_storage,
        updated_at = clock_timestamp()
    where w.id = job_id;
    if ends then
        perform media_worker.finish('cdn', token, array[job_id], 'completed', array[message], true);
    else
        perform media_worker.end_outages_of(media_worker.kind('cdn'), array[job_id]);
    end if;
    return 'recorded';
end
$$;
comment on function media_worker.cdn_record(uuid, uuid, text, boolean, text, text, boolean, boolean, text, boolean) is
    'Records that both objects of a track are on the target, if they still answer its row, and ends the job, or (ends false) leaves that to the run, which has a cache to purge yet. version: what the run has read. sent: this run has uploaded something; otherwise the time of an earlier upload stays. Returns recorded; changed, gone or claim lost (the run has ended; a deleted or changed track is run again); or lost ROLE when an object is not confirmed any more, which leaves the ending to the run.';

create or replace function media_worker.cdn_lock(job_id uuid, token uuid)
returns public.cdn_sync_jobs
language plpgsql security definer set search_path = ''
as $$
declare
    name text := (select w.track_id from public.cdn_sync_jobs as w where w.id = job_id);
    was_there boolean;
    j public.cdn_sync_jobs;
begin
    -- in the application's order: the media row first, then the work row
    perform from public.audio_tracks as t where t.track_id::text = name for no key update;
    was_there := found;
    select * into j from public.cdn_sync_jobs as w
    where w.id = job_id and w.claim = token for no key update;
    if not was_there then
        -- it may have been inserted again in between
        perform from public.audio_tracks as t where t.track_id::text = name for no key update;
    end if;
    return j;
end
$$;
comment on function media_worker.cdn_lock(uuid, uuid) is
    'Locks a claimed job and its track, if it is there. Null when the claim is lost.';

create or replace function media_worker.cdn_run_again(j public.cdn_sync_jobs, token uuid) returns void
language sql security definer set search_path = ''
as $$
    select media_worker.reschedule('cdn', token, array[j.id], array[null]::float8[], array[null]::text[], false)
$$;
comment on function media_worker.cdn_run_again(public.cdn_sync_jobs, uuid) is
    'Ends a run whose track has changed: it is run once more, at once.';

create or replace function media_worker.cdn_end_pointless(
    j public.cdn_sync_jobs, token uuid, is_there boolean
) returns void
language sql security definer set search_path = ''
as $$
    -- a track that is merely not visible (TRUNCATE, row security) is not taken for deleted
    select media_worker.finish('cdn', token, array[j.id], 'completed', array[
        case when is_there then 'cancelled: the track has no file_path'
        else 'cancelled: there is no such track' end])
$$;
comment on function media_worker.cdn_end_pointless(public.cdn_sync_jobs, uuid, boolean) is
    'Ends the job of a track of which nothing is wanted.';

create or replace function media_worker.cdn_unconfirmed(j public.cdn_sync_jobs) returns text
language sql stable security definer set search_path = ''
as $$
    select min(wanted.role) from unnest(array['audio', 'sidecar']) as wanted(role)
    where not exists (
        select from media_worker.objects as o
        where o.owner_table = 'audio_tracks' and o.owner_id = j.track_id and o.role = wanted.role
            and o.service = 'cdn:' || j.target and o.state = 'live' and o.claim is null
            and not o.doomed)
$$;
comment on function media_worker.cdn_unconfirmed(public.cdn_sync_jobs) is
    'A role of which the ledger knows no verified object on the job''s target.';

create or replace function media_worker.cdn_write_copy(
    j public.cdn_sync_jobs, in_team_storage boolean, cdn_url text, sent boolean, moment timestamptz
) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    t media_worker.cdn_tracks;
    locations jsonb;
    is_first boolean := coalesce(j.target = media_worker.first_cdn_target(), false);
begin
    select * into t from media_worker.cdn_tracks as x where x.track_id = j.track_id;
    locations := media_worker.as_object(t.storage_locations);
    locations := media_worker.cdn_locations(locations, j.target, true,
        media_worker.there_since(locations, j.target, sent, moment));
    if in_team_storage then
        locations := media_worker.cdn_locations(locations, 'supabase', true,
            media_worker.there_since(locations, 'supabase', sent, moment));
    elsif j.from_team_storage then
        locations := media_worker.cdn_locations(locations, 'supabase', false);
    end if;
    perform media_worker.cdn_write_track(t.track_id, locations,
        case when is_first then cdn_url else t.cdn_url end,
        case when is_first and (sent or t.cdn_url is distinct from cdn_url)
            then moment else coalesce(t.cdn_uploaded_at, case when is_first then moment end) end);
end
$$;
comment on function media_worker.cdn_write_copy(public.cdn_sync_jobs, boolean, text, boolean, timestamptz) is
    'Writes into the track that its copy is on the job''s target; cdn_url is the first target''s.';

create or replace function media_worker.there_since(
    locations jsonb, place text, sent boolean, moment timestamptz
) returns text
language sql stable set search_path = ''
as $$
    select coalesce(
        case when not sent and locations ->> place = 'true'
            then locations #>> array['upload_timestamps', place] end,
        to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
$$;
comment on function media_worker.there_since(jsonb, text, boolean, timestamptz) is
    'The upload_timestamps entry of a place: as it was, or now where something was sent.';

create or replace function media_worker.cdn_write_track(
    track_id text, locations jsonb, cdn_url text, cdn_uploaded_at timestamptz
) returns void
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    perform media_worker.say_recording(true);
    update public.audio_tracks as t
    set storage_locations = locations, cdn_url = cdn_write_track.cdn_url,
        cdn_uploaded_at = cdn_write_track.cdn_uploaded_at
    where t.track_id::text = cdn_write_track.track_id
        and (t.storage_locations is null
             or media_worker.as_object(t.storage_locations::text) <> locations
             or t.cdn_url::text is distinct from cdn_write_track.cdn_url
             or media_worker.utc(t.cdn_uploaded_at) is distinct from cdn_write_track.cdn_uploaded_at);
    perform media_worker.say_recording(false);
end
$$;
comment on function media_worker.cdn_write_track(text, jsonb, text, timestamptz) is
    'Writes into a track where its copies are, if that is news.';
