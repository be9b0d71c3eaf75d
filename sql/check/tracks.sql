-- check: what rows of tracks say of objects, and how they are mended.

create or replace function media_worker.by_role(role text, audio text, cover text, video text)
returns text
language sql immutable
as $$ select case role when 'audio' then audio when 'cover' then cover when 'video' then video end $$;
comment on function media_worker.by_role(text, text, text, text) is
    'That of a track''s three values that belongs to the role.';

create or replace function media_worker.track_is_under_way(
    track_id uuid, running_only boolean default false
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.track_archiving_jobs as j
        where j.track_id = track_is_under_way.track_id
            and (j.claim is not null or (j.status = 'pending' and not running_only)))
$$;
comment on function media_worker.track_is_under_way(uuid, boolean) is
    'Whether the track is being archived, or (not running_only) waits for it.';

create or replace function media_worker.check_track_standing(
    track_id uuid, role text, object_key text, running_only boolean
) returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
    return case when media_worker.track_is_under_way(track_id, running_only) then 'under way'
        when exists (
            select from public.tracks as t
            cross join media_worker.by_role(role, t.storage_audio_url::text,
                t.storage_cover_url::text, t.storage_video_url::text) as url
            -- a row that names no file at all may be about to name this one
            where t.id = track_id
                and coalesce(right(url, length(object_key) + 1) = '/' || object_key, true))
        then 'wanted' else 'unwanted' end;
end
$$;
comment on function media_worker.check_track_standing(uuid, text, text, boolean) is
    'Whether a track wants an object that was written for it: wanted, unwanted or under way.';

create or replace function media_worker.check_track_claims(track_id uuid, role text, url text)
returns boolean
language sql stable security definer set search_path = ''
as $$
    select not media_worker.track_is_under_way(track_id) and exists (
        select from public.tracks as t
        where t.id = check_track_claims.track_id
            and media_worker.by_role(check_track_claims.role, t.storage_audio_url::text,
                t.storage_cover_url::text, t.storage_video_url::text) = check_track_claims.url)
$$;
comment on function media_worker.check_track_claims(uuid, text, text) is
    'Whether a track still says that its file is at this URL.';

create or replace function media_worker.check_unrecorded_tracks(after uuid, max_rows integer)
returns table (last_id uuid, track_id uuid, role text, url text)
language sql stable security definer set search_path = ''
as $$
    with page as (
        select t.id, t.storage_audio_url::text as audio, t.storage_cover_url::text as cover,
            t.storage_video_url::text as video
        from public.tracks as t
        where t.id > after or after is null
        order by t.id limit max_rows
    ), claimed as (
        select p.id, f.role, f.url from page as p
        cross join lateral (
            values ('audio', p.audio), ('cover', p.cover), ('video', p.video)) as f(role, url)
        where f.url <> '' and not exists (
            select from media_worker.objects as o
            where o.owner_table = 'tracks' and o.owner_id = p.id::text and o.role = f.role
                and right(f.url, length(o.object_key) + 1) = '/' || o.object_key)
    )
    select ends.id, c.id, c.role, c.url
    from (select p.id from page as p order by p.id desc limit 1) as ends
    left join claimed as c on true
$$;
comment on function media_worker.check_unrecorded_tracks(uuid, integer) is
    'Files that the next max_rows tracks say are stored, and of which the ledger knows nothing. last_id, in every row, is where the next page begins; no row: there are no more tracks.';

create or replace function media_worker.check_mend_track(o media_worker.objects, finding text)
returns text
language plpgsql security definer set search_path = ''
as $$
declare
    track uuid := o.owner_id;
begin
    if finding = 'missing' then
        return media_worker.check_disclaim_track(track, o.role, (
            select media_worker.by_role(o.role, t.storage_audio_url::text,
                t.storage_cover_url::text, t.storage_video_url::text)
            from public.tracks as t where t.id = track));
    elsif finding = 'orphan' then
        insert into public.storage_cleanup_queue
            (bucket, object_key, source_table, source_id, reason, service)
        -- a track that is inserted again until then keeps it
        values (o.bucket, o.object_key, o.owner_table, o.owner_id,
            case when exists (select from public.tracks as t where t.id = track)
                then 'orphan' else 'hard_delete' end, o.service);
        update media_worker.objects as x set doomed = true, updated_at = clock_timestamp()
        where x.id = o.id;
        return 'queued';
    end if;
    -- forced: an archived track's audio counts as stored otherwise
    perform media_worker.request_archiving(array[track], true);
    return case when media_worker.track_is_under_way(track) then 'asked again' else 'hopeless' end;
end
$$;
comment on function media_worker.check_mend_track(media_worker.objects, text) is
    'Mends a file of a track; see media_worker.check_mend.';

create or replace function media_worker.check_disclaim_track(track_id uuid, role text, url text)
returns text
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    if not exists (
        select from public.tracks as t
        where t.id = track_id and not media_worker.track_is_under_way(track_id, true)
            and media_worker.by_role(role, t.storage_audio_url::text, t.storage_cover_url::text,
                t.storage_video_url::text) is not distinct from check_disclaim_track.url) then
        return 'changed';
    elsif exists (
        select from public.tracks as t
        where t.id = track_id and media_worker.in_team_storage(media_worker.by_role(
            role, t.audio_url::text, t.cover_url::text, t.video_url::text))) then
        return 'hopeless';  -- the file has no other source
    end if;
    perform media_worker.say_recording(true);
    update public.tracks as t
    set archived_to_storage = coalesce(t.archived_to_storage, false) and role <> 'audio',
        archived_at = case when role <> 'audio' then t.archived_at end,
        storage_audio_url = case when role <> 'audio' then t.storage_audio_url end,
        storage_cover_url = case when role <> 'cover' then t.storage_cover_url end,
        storage_video_url = case when role <> 'video' then t.storage_video_url end
    where t.id = track_id;
    perform media_worker.say_recording(false);
    perform media_worker.request_archiving(array[track_id]);
    return case when media_worker.track_is_under_way(track_id)
        then 'asked again' else 'disclaimed' end;
end
$$;
comment on function media_worker.check_disclaim_track(uuid, text, text) is
    'The track says no more that this file is stored, and it is archived again; see media_worker.check_mend.';
