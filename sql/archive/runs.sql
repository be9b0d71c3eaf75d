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
        set late_from = least(w.late_from, w.attempts - 1), updated_at = clock_timestamp()
        where w.id = job_id and w.claim = token
        returning w.late_from into j.late_from;
    end if;
    return jsonb_build_object(
        'track_id', j.track_id, 'exists', track_exists, 'deleted', j.track_deleted,
        'playable', t.track_id is not null, 'archived', t.archived, 'forced', j.forced,
        'user_id', t.user_id, 'title', t.title, 'provider', t.provider,
        'audio_url', t.audio_url, 'cover_url', t.cover_url, 'video_url', t.video_url,
        'seconds_left', extract(epoch from t.expires_at - clock_timestamp()),
        'attempts', j.attempts, 'late_attempts', coalesce(j.attempts - j.late_from, 0),
        'metadata', j.metadata, 'stored_audio', case when t.archived and not j.forced then t.storage_audio_url end,
        'objects', coalesce((
            select jsonb_agg(jsonb_build_object(
                'role', o.role, 'bucket', o.bucket, 'key', o.object_key, 'bytes', o.bytes,
                'sha256', o.sha256, 'content_type', o.content_type,
                'current', o.source_hash = media_worker.url_hash(
                    case o.role when 'audio' then t.audio_url when 'cover' then t.cover_url
                        when 'video' then t.video_url end)) order by o.doomed, o.id desc)
            from media_worker.objects as o
            where o.owner_table = 'tracks' and o.owner_id = j.track_id::text
                and o.service = 'storage' and o.state = 'live' and o.claim is null), '[]'));
end
$$;
comment on function media_worker.archive_load(uuid, uuid) is
    'The track of a claimed job as it is now, with its verified objects, those first that no deletion is queued of; null when the claim is lost. late_attempts: tries after the expiry, with this one.';

create or replace function media_worker.archive_record(
    job_id uuid, token uuid, sources jsonb, files jsonb, missing text[],
    message text default null, ends boolean default true
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
    elsif j.status not in ('processing', 'pending') then
        -- it was marked as archived by hand meanwhile: that stays
        perform media_worker.finish('archive', token, array[job_id], j.status, array[j.error_message]);
        return 'changed';
    elsif j.track_deleted then
        perform media_worker.finish('archive', token, array[job_id], 'completed',
            array['cancelled: the track was deleted and inserted again']);
        return 'changed';
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
        metadata = media_worker.archive_metadata(files, missing),
        forced = forced and w.status = 'pending', updated_at = clock_timestamp()
    where w.id = job_id;
    if ends then
        perform media_worker.finish('archive', token, array[job_id], 'completed', array[message], true);
    end if;
    return 'recorded';
end
$$;
comment on function media_worker.archive_record(uuid, uuid, jsonb, jsonb, text[], text, boolean) is
    'Records what a run has stored, if it still answers the track as it is now, and ends the job, or (ends false) leaves that to the run, which tries for the rest again. sources: the URLs that were read, by role; files: {role: {url, key, bucket, bytes, sha256, content_type, seconds}}. Returns recorded, changed, gone, claim lost, or lost ROLE when an object is not confirmed any more.';

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
    perform media_worker.say_recording(true);
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
    perform media_worker.say_recording(false);
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
    if media_worker.finish('archive', token, array[job_id], 'failed', array[message]) = 0 then
        return;
    end if;
    select * into j from public.track_archiving_jobs as w where w.id = job_id;
    if j.track_deleted then
        -- what the run had stored before its track was deleted
        perform media_worker.doom_objects('tracks', array[j.track_id::text], 'hard_delete');
    elsif j.status = 'failed' and j.notified_at is null then
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
        or t.expires_at < (select i.installed_at from media_worker.installation as i)
        or not exists (select from media_worker.application_tables as a
                       where a.name = 'notifications' and a.usable) then
        return;
    end if;
    insert into public.notifications (user_id, type, title, message, link)
    values (t.user_id, 'warning',
        case when russian then 'Не удалось архивировать трек' else 'A track could not be archived' end,
        format(case when russian
            then 'Трек "%s" не был сохранен. Он может стать недоступен.'
            else 'The track "%s" was not saved. It may become unavailable.' end,
            coalesce(nullif(t.title, ''), t.track_id::text)),
        '/workspace/library?track=' || t.track_id);
    update public.track_archiving_jobs as w
    set notified_at = clock_timestamp(), updated_at = clock_timestamp() where w.id = j.id;
exception
when lock_not_available or deadlock_detected then
    raise;  -- that passes: the call is repeated
when others then
    -- a notifications table of the team's own may not take our row: the failure itself is recorded
    raise warning 'media_worker: notifying the owner of track % failed: %', j.track_id, sqlerrm;
end
$$;
comment on function media_worker.archive_notify(public.track_archiving_jobs, text) is
    'Writes the notification of a failed archiving (en or ru); none for a track that had expired before Media Worker was installed.';
