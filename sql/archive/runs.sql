-- archive: what a run of the worker reads and records.

create or replace function media_worker.archive_load(job_id uuid, token uuid) returns jsonb
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.track_archiving_jobs;
    t media_worker.playable_tracks;
    track_exists boolean;
begin
    select * into j from public.track_archiving_jobs as w where w.id = job_id and w.claim = token;
    if j.id is null then
        return null;
    end if;
    select * into t from media_worker.playable_tracks as p where p.track_id = j.track_id;
    track_exists := exists (select from public.tracks as x where x.id = j.track_id);
    if t.expires_at <= clock_timestamp() then
        update public.track_archiving_jobs as w
        set late_attempts = w.late_attempts + 1, updated_at = clock_timestamp()
        where w.id = job_id and w.claim = token
        returning w.late_attempts into j.late_attempts;
    end if;
    return jsonb_build_object(
        'track_id', j.track_id, 'exists', track_exists, 'deleted', j.track_deleted,
        'playable', t.track_id is not null, 'archived', t.archived, 'forced', j.forced,
        'user_id', t.user_id, 'title', t.title, 'provider', t.provider,
        'audio_url', t.audio_url, 'cover_url', t.cover_url, 'video_url', t.video_url,
        'seconds_left', extract(epoch from t.expires_at - clock_timestamp()),
        'attempts', j.attempts, 'late_attempts', j.late_attempts, 'metadata', j.metadata,
        'objects', coalesce((
            select jsonb_agg(jsonb_build_object(
                'role', o.role, 'bucket', o.bucket, 'key', o.object_key, 'bytes', o.bytes,
                'sha256', o.sha256, 'content_type', o.content_type,
                'current', o.source_hash = media_worker.url_hash(
                    case o.role when 'audio' then t.audio_url when 'cover' then t.cover_url
                        when 'video' then t.video_url end)) order by o.id)
            from media_worker.objects as o
            where o.owner_table = 'tracks' and o.owner_id = j.track_id::text
                and o.service = 'storage' and o.state = 'live' and o.claim is null), '[]'));
end
$$;
comment on function media_worker.archive_load(uuid, uuid) is
    'The track of a claimed job as it is now, with its verified objects; null when the claim is lost. Counts a try after the expiry.';

create or replace function media_worker.archive_record(
    job_id uuid, token uuid, sources jsonb, files jsonb, missing text[],
    retry_delay double precision default null, message text default null
) returns text
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    j public.track_archiving_jobs;
    t record;
    lost text;
begin
    -- in the application's order: the media row first, then the work row, then the ledger
    select x.id, x.audio_url::text as audio_url, x.cover_url::text as cover_url,
        x.video_url::text as video_url, x.status::text as status
    into t from public.tracks as x
    where x.id = (select w.track_id from public.track_archiving_jobs as w where w.id = job_id)
    for no key update;
    select * into j from public.track_archiving_jobs as w
    where w.id = job_id and w.claim = token for no key update;
    if j.id is null then
        return 'claim lost';
    elsif t is null or t.id is null then
        perform media_worker.archive_end_gone(j, token);
        return 'gone';
    elsif t.audio_url is distinct from sources ->> 'audio'
        or not media_worker.is_playable(t.status, t.audio_url) then
        perform media_worker.finish('archive', token, array[job_id], 'completed',
                                    array['cancelled: the track was changed meanwhile']);
        return 'changed';
    end if;
    select min(f.role) into lost from media_worker.archive_unconfirmed(files) as f(role);
    if lost is not null then
        return 'lost ' || lost;
    end if;
    perform media_worker.archive_write_track(t.id, t.cover_url, t.video_url, sources, files);
    perform media_worker.doom_objects('tracks', array[t.id::text], 'superseded',
        (select array_agg(f.value ->> 'key') from jsonb_each(files) as f where f.value ? 'key'),
        (select array_agg(f.key) from jsonb_each(files) as f where f.value ? 'key'));
    update public.track_archiving_jobs as w
    set storage_audio_url = coalesce(files #>> '{audio,url}', w.storage_audio_url),
        storage_cover_url = coalesce(files #>> '{cover,url}', w.storage_cover_url),
        storage_video_url = coalesce(files #>> '{video,url}', w.storage_video_url),
        metadata = media_worker.archive_metadata(files, missing), late_attempts = 0,
        forced = forced and w.status = 'pending', updated_at = clock_timestamp()
    where w.id = job_id;
    if retry_delay is null then
        perform media_worker.finish('archive', token, array[job_id], 'completed', array[message], true);
    else
        perform media_worker.reschedule('archive', token, array[job_id], array[retry_delay],
                                        array[message], true);
    end if;
    return 'recorded';
end
$$;
comment on function media_worker.archive_record(uuid, uuid, jsonb, jsonb, text[], double precision, text) is
    'Records what a run has stored, if it still answers the track as it is now, and ends the job or (retry_delay in seconds) has the rest tried again. sources: the URLs that were read, by role; files: {role: {url, key, bucket, bytes, sha256, content_type, seconds}}. Returns recorded, changed, gone, claim lost, or lost ROLE when an object is not confirmed any more.';

create or replace function media_worker.archive_unconfirmed(files jsonb) returns setof text
language sql security definer set search_path = ''
as $$
    -- the track exists: a deletion that was queued for an earlier one of its id is dropped
    with kept as (
        update media_worker.objects as o
        set doomed = false, updated_at = clock_timestamp()
        from jsonb_each(files) as f
        where f.value ? 'key' and o.service = 'storage' and o.bucket = f.value ->> 'bucket'
            and o.object_key = f.value ->> 'key' and o.state = 'live'
            and o.claim is null and o.sha256 = f.value ->> 'sha256'
        returning f.key as role
    )
    select f.key from jsonb_each(files) as f
    where f.value ? 'key' and f.key not in (select kept.role from kept)
$$;
comment on function media_worker.archive_unconfirmed(jsonb) is
    'Roles whose object the ledger does not know as verified; the others are kept from deletion.';

create or replace function media_worker.archive_write_track(
    id uuid, cover_url text, video_url text, sources jsonb, files jsonb
) returns void
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    update public.tracks as t
    set storage_audio_url = coalesce(files #>> '{audio,url}', t.storage_audio_url),
        storage_cover_url = case
            when archive_write_track.cover_url is not distinct from sources ->> 'cover'
            then coalesce(files #>> '{cover,url}', t.storage_cover_url) else t.storage_cover_url end,
        storage_video_url = case
            when archive_write_track.video_url is not distinct from sources ->> 'video'
            then coalesce(files #>> '{video,url}', t.storage_video_url) else t.storage_video_url end,
        archived_to_storage = true,
        archived_at = case when t.archived_to_storage and t.archived_at is not null
            then t.archived_at else clock_timestamp() end
    where t.id = archive_write_track.id;
end
$$;
comment on function media_worker.archive_write_track(uuid, text, text, jsonb, jsonb) is
    'Writes into the track where its files are; of cover and video only if they are still the ones that were read.';

create or replace function media_worker.archive_metadata(files jsonb, missing text[]) returns jsonb
language sql immutable set search_path = ''
as $$
    select coalesce(jsonb_object_agg(f.key, f.value - 'key' - 'bucket' - 'url'), '{}')
        || case when cardinality(missing) > 0
            then jsonb_build_object('missing', to_jsonb(missing)) else '{}' end
    from jsonb_each(files) as f
$$;
comment on function media_worker.archive_metadata(jsonb, text[]) is
    'What track_archiving_jobs.metadata says of the files.';

create or replace function media_worker.archive_end_gone(j public.track_archiving_jobs, token uuid)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
    -- a track that is merely not visible (TRUNCATE, row security) is not taken for deleted
    if j.track_deleted then
        perform media_worker.doom_objects('tracks', array[j.track_id::text], 'hard_delete');
    end if;
    perform media_worker.finish('archive', token, array[j.id], 'completed',
        array[case when j.track_deleted then 'cancelled: the track was deleted'
              else 'cancelled: there is no such track' end]);
end
$$;
comment on function media_worker.archive_end_gone(public.track_archiving_jobs, uuid) is
    'Ends the job of a track that is gone; what was stored for a deleted one is deleted.';

create or replace function media_worker.archive_gone(job_id uuid, token uuid) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.track_archiving_jobs;
begin
    perform from public.tracks as x
    where x.id = (select w.track_id from public.track_archiving_jobs as w where w.id = job_id)
    for no key update;
    if found then
        -- it was inserted again: the row was asked for anew, or has time until its day
        perform media_worker.finish('archive', token, array[job_id], 'completed',
                                    array['cancelled: the track was deleted and inserted again']);
        return;
    end if;
    select * into j from public.track_archiving_jobs as w
    where w.id = job_id and w.claim = token for no key update;
    if j.id is not null then
        perform media_worker.archive_end_gone(j, token);
    end if;
end
$$;
comment on function media_worker.archive_gone(uuid, uuid) is 'A run found no track: ends its job.';

create or replace function media_worker.archive_fail(
    job_id uuid, token uuid, message text, language text
) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    j public.track_archiving_jobs;
begin
    perform media_worker.finish('archive', token, array[job_id], 'failed', array[message]);
    select * into j from public.track_archiving_jobs as w where w.id = job_id and w.status = 'failed';
    if j.id is not null and j.notified_at is null then
        perform media_worker.archive_notify(j, language);
    end if;
end
$$;
comment on function media_worker.archive_fail(uuid, uuid, text, text) is
    'Fails a job for good and tells the track''s owner, once per track.';

create or replace function media_worker.archive_notify(j public.track_archiving_jobs, language text)
returns void
language plpgsql security definer set search_path = ''
as $$
declare
    t media_worker.playable_tracks;
    russian boolean := language = 'ru';
begin
    select * into t from media_worker.playable_tracks as p where p.track_id = j.track_id;
    if t.track_id is null or t.archived or t.user_id is null
        or t.expires_at < (select i.installed_at from media_worker.installation as i) then
        return;
    end if;
    insert into public.notifications (user_id, type, title, message, link)
    values (t.user_id, 'warning',
        case when russian then 'Не удалось архивировать трек' else 'A track could not be archived' end,
        format(case when russian
            then 'Трек "%s" не был сохранен. Он может стать недоступен.'
            else 'The track "%s" was not saved. It may become unavailable.' end,
            coalesce(t.title, t.track_id::text)),
        '/workspace/library?track=' || t.track_id);
    update public.track_archiving_jobs as w
    set notified_at = clock_timestamp(), updated_at = clock_timestamp() where w.id = j.id;
exception when others then
    -- a notifications table of the team's own may not take our row: the failure itself is recorded
    raise warning 'media_worker: notifying the owner of track % failed: %', j.track_id, sqlerrm;
end
$$;
comment on function media_worker.archive_notify(public.track_archiving_jobs, text) is
    'Writes the notification of a failed archiving (en or ru); none for a track that had expired before Media Worker was installed.';

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
        where t.status = 'completed' and not t.archived_to_storage and t.audio_url <> ''
            and media_worker.utc(t.archive_scheduled_at) <= now()
            and media_worker.utc(t.archive_scheduled_at) > now() - coalesce(window_, '100 years')
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
    update public.tracks as t
    set archive_scheduled_at = media_worker.archive_time(t.provider::text, media_worker.utc(t.created_at))
    where t.id in (
        select x.id from public.tracks as x
        where x.status = 'completed' and not x.archived_to_storage and x.audio_url <> ''
            and x.archive_scheduled_at is null
        order by x.id limit 1000
        for no key update skip locked);
    get diagnostics scheduled = row_count;
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

create or replace function media_worker.objects_to_recheck(max_rows integer default 100)
returns table (id bigint, bucket text, object_key text, bytes bigint, etag text, state text,
               role text, owner_id text)
language sql stable security definer set search_path = ''
as $$
    select o.id, o.bucket, o.object_key, o.bytes, o.etag, o.state, o.role, o.owner_id
    from media_worker.objects as o
    left join media_worker.workers as w on w.worker_id = o.claimed_by
    where o.recheck_at <= clock_timestamp() and o.service = 'storage'
        and (o.claim is null or w.worker_id is null or not media_worker.is_alive(w))
    order by o.recheck_at limit max_rows
$$;
comment on function media_worker.objects_to_recheck(integer) is
    'Objects that a lost run may have touched, once nothing of it can be under way any more.';

create or replace function media_worker.settle_object(object_id bigint, found text) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    o media_worker.objects;
begin
    select * into o from media_worker.objects as x
    where x.id = object_id and x.recheck_at <= clock_timestamp() for no key update;
    if o.id is null or o.doomed then
        update media_worker.objects as x set recheck_at = null where x.id = o.id;
        return 'nothing to do';
    elsif found = 'same' then
        update media_worker.objects as x
        set state = 'live', claim = null, claimed_by = null, recheck_at = null,
            updated_at = clock_timestamp()
        where x.id = o.id;
        return 'verified';
    elsif found = 'absent' then
        delete from media_worker.objects as x where x.id = o.id;
    else
        update media_worker.objects as x
        set claim = null, claimed_by = null, recheck_at = null, state = 'intent',
            updated_at = clock_timestamp() where x.id = o.id;
    end if;
    return media_worker.archive_mend(o, found = 'other');
end
$$;
comment on function media_worker.settle_object(bigint, text) is
    'What a look at a suspect object has shown: same (as the ledger says), other (bytes) or absent. A track that counts on it is archived again; an object that none counts on is deleted.';

create or replace function media_worker.archive_mend(o media_worker.objects, exists_ boolean)
returns text
language plpgsql security definer set search_path = ''
as $$
begin
    perform from public.tracks as t
    where t.id::text = o.owner_id and media_worker.is_playable(t.status::text, t.audio_url::text)
        and (t.archived_to_storage or exists (
            select from public.track_archiving_jobs as j
            where j.track_id = t.id and j.status in ('pending', 'processing')));
    if found then
        perform media_worker.request_archiving(array[o.owner_id::uuid]);
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
