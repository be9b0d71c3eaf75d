-- archive: schedule and requests.

create or replace function media_worker.url_hash(url text) returns text
language sql immutable set search_path = ''
as $$ select encode(sha256(convert_to(url, 'UTF8')), 'hex') $$;
comment on function media_worker.url_hash(text) is 'SHA-256 (hex) of a URL, as the ledger keeps it.';

create or replace function media_worker.time_after(moment timestamptz, span interval)
returns timestamptz
language sql stable
as $$
    select case when moment is not null
        then greatest(least(moment, timestamptz '9000-01-01 00:00Z'), timestamptz '1000-01-01 00:00Z') end
        + span
$$;
comment on function media_worker.time_after(timestamptz, interval) is
    'The time that long after another, for every timestamp that a column may hold: infinite ones, and those at the edges of time, count as the years 1000 or 9000.';

create or replace function media_worker.archive_time(provider text, created_at timestamptz)
returns timestamptz
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
    select coalesce(media_worker.time_after(created_at, (
        select p.archive_after from public.archive_policies as p
        where p.provider in (lower(archive_time.provider), 'default')
        order by p.provider = 'default' limit 1)), now())
$$;
comment on function media_worker.archive_time(text, timestamptz) is
    'When a track is to be archived: created_at and archive_after of its provider''s policy (compared without case) or the default one; now without created_at.';

create or replace function media_worker.in_team_storage(url text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select coalesce(bool_or(starts_with(url, prefix)), false)
    from media_worker.archive_config as c, unnest(c.storage_prefixes) as prefix
$$;
comment on function media_worker.in_team_storage(text) is
    'Whether a URL points into the team''s own storage, as the workers'' settings name it.';

create or replace function media_worker.is_playable(status text, audio_url text) returns boolean
language sql immutable
as $$ select coalesce(status = 'completed' and audio_url <> '', false) $$;
comment on function media_worker.is_playable(text, text) is
    'Whether a track is to be archived at all: completed, with an audio URL.';

create or replace function media_worker.request_archiving(track_ids uuid[], forced boolean default false)
returns setof uuid
language sql security definer set search_path = ''
as $$
    insert into public.track_archiving_jobs as j
        (track_id, user_id, original_audio_url, original_cover_url, original_video_url, due_by, forced)
    select t.track_id, t.user_id, t.audio_url, t.cover_url, t.video_url,
        -- what has expired comes after all that can still be in time
        case when t.expires_at > clock_timestamp() then t.expires_at
            else clock_timestamp() + interval '1 year' end,
        request_archiving.forced
    from media_worker.playable_tracks as t
    where t.track_id = any (track_ids)
    order by t.track_id
    on conflict on constraint track_archiving_jobs_one_per_track do update
    set status = 'pending', next_attempt_at = null, parked = false, crashes = 0,
        crashes_alone = 0,
        attempts = case when j.claim is null then 0 else j.attempts end,
        error_message = null, started_at = case when j.claim is not null then j.started_at end,
        completed_at = null, late_from = null, track_deleted = false,
        user_id = excluded.user_id, due_by = excluded.due_by,
        forced = excluded.forced or (j.forced and j.status in ('pending', 'processing')),
        original_audio_url = excluded.original_audio_url,
        original_cover_url = excluded.original_cover_url,
        original_video_url = excluded.original_video_url,
        updated_at = clock_timestamp()
    returning j.id
$$;
comment on function media_worker.request_archiving(uuid[], boolean) is
    'Asks for the archiving of tracks: one job row each, pending; one that runs already is run once more. Returns the job rows'' ids.';

create or replace function media_worker.lock_free_tracks(track_ids uuid[]) returns setof uuid
language sql security definer set search_path = ''
as $$
    with track as materialized (
        select t.id from public.tracks as t where t.id = any (track_ids)
        order by t.id for no key update skip locked
    ), job as materialized (
        select j.track_id as id from public.track_archiving_jobs as j
        where j.track_id = any (track_ids)
        order by j.track_id for no key update skip locked
    )
    select given.id from unnest(track_ids) as given (id)
    where (given.id in (select track.id from track)
            or not exists (select from public.tracks as t where t.id = given.id))
        and (given.id in (select job.id from job)
            or not exists (select from public.track_archiving_jobs as j where j.track_id = given.id))
$$;
comment on function media_worker.lock_free_tracks(uuid[]) is
    'Locks the tracks and their job rows, and returns those that no other transaction holds: one that is held must not keep the others waiting.';

create or replace function public.get_tracks_needing_archiving(max_rows integer default 50)
returns table (track_id uuid, user_id uuid, title text, provider text, audio_url text,
               cover_url text, video_url text, archive_scheduled_at timestamptz,
               expires_at timestamptz, days_until_expiry numeric)
language plpgsql stable security definer set search_path = ''
as $$
declare
    moment timestamptz := clock_timestamp();  -- the transaction may be older than what is due
begin
    perform media_worker.check_max_rows(max_rows);
    return query
    select t.track_id, t.user_id, t.title, t.provider, t.audio_url, t.cover_url, t.video_url,
        t.scheduled_at, t.expires_at,
        round((extract(epoch from t.expires_at - moment) / 86400)::numeric, 2)
    from media_worker.playable_tracks as t
    where not t.archived and t.scheduled_at <= moment
    order by t.expires_at <= moment, t.expires_at, t.track_id
    limit max_rows;
end
$$;
comment on function public.get_tracks_needing_archiving(integer) is
    'Due tracks that are not archived: nearest expiry first, expired ones after them; days_until_expiry is negative for those.';

create or replace function media_worker.check_max_rows(max_rows integer) returns void
language plpgsql immutable set search_path = ''
as $$
begin
    if max_rows is null or max_rows < 0 then
        raise exception 'max_rows is %', coalesce(max_rows::text, 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Give the greatest number of tracks that are wanted, 0 or more.';
    end if;
end
$$;
comment on function media_worker.check_max_rows(integer) is 'Raises an error for a limit that is no limit.';

create or replace function media_worker.check_archivable(track_id uuid, is_there boolean, playable boolean)
returns void
language plpgsql immutable set search_path = ''
as $$
begin
    if not is_there then
        raise exception 'unknown track %', coalesce(track_id::text, 'null')
            using errcode = 'no_data_found', hint = 'Give the id of a row of tracks.';
    elsif not playable then
        raise exception 'track % cannot be archived: it is not completed or has no audio_url', track_id
            using errcode = 'invalid_parameter_value',
                  hint = 'Set its status to completed and its audio_url first.';
    end if;
end
$$;
comment on function media_worker.check_archivable(uuid, boolean, boolean) is
    'Raises an error for a track that is not there or has nothing to archive.';

create or replace function public.archive_track(track_id uuid, force boolean default false)
returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
    track record;
    job uuid;
begin
    select t.id, t.archived_to_storage as archived,
        media_worker.is_playable(t.status::text, t.audio_url::text) as playable
    into track from public.tracks as t where t.id = archive_track.track_id for no key update;
    perform media_worker.check_archivable(archive_track.track_id, track.id is not null, track.playable);
    if track.archived and not coalesce(force, false) then
        select j.id into job from public.track_archiving_jobs as j
        where j.track_id = archive_track.track_id;
    else
        select r into job from media_worker.request_archiving(
            array[archive_track.track_id], coalesce(force, false)) as r;
    end if;
    return job;
end
$$;
comment on function public.archive_track(uuid, boolean) is
    'Archives a track now, before it is due, or (force) once more from its provider. Returns the id of its row in track_archiving_jobs; for an archived track without force its last one, and there is no work (null if it never had one). Raises P0002 for an unknown track, 22023 for one that is not completed or has no audio_url.';

create or replace function public.archive_tracks(max_rows integer default 50) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    moment timestamptz := clock_timestamp();  -- the transaction may be older than what is due
    wanted uuid[];
begin
    perform media_worker.check_max_rows(max_rows);
    select array_agg(needing.track_id) into wanted from (
        select t.track_id from media_worker.playable_tracks as t
        left join public.track_archiving_jobs as j on j.track_id = t.track_id
        where not t.archived and t.scheduled_at <= moment
            and coalesce(j.status not in ('pending', 'processing'), true)
            and not coalesce(j.status = 'failed' and j.completed_at >= t.expires_at, false)
        order by t.expires_at <= moment, t.expires_at, t.track_id
        limit max_rows
    ) as needing;
    return (select count(*) from media_worker.request_archiving(array(
        select media_worker.lock_free_tracks(wanted))));
end
$$;
comment on function public.archive_tracks(integer) is
    'Queues up to max_rows of the tracks that need archiving and are not queued yet, failed ones too, but none that failed for good after its expiry, and none that another transaction holds. Returns the number queued.';

create or replace function public.mark_track_archived(
    track_id uuid, audio_url text, cover_url text default null, video_url text default null
) returns boolean
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    if coalesce(audio_url, '') = '' then
        raise exception 'audio_url is missing: say where the archived audio is'
            using errcode = 'invalid_parameter_value',
                  hint = 'Audio is what makes a track archived; cover_url and video_url may be null.';
    end if;
    perform media_worker.say_recording(true);
    update public.tracks as t
    set archived_to_storage = true, archived_at = clock_timestamp(),
        storage_audio_url = mark_track_archived.audio_url,
        storage_cover_url = coalesce(mark_track_archived.cover_url, t.storage_cover_url),
        storage_video_url = coalesce(mark_track_archived.video_url, t.storage_video_url)
    where t.id = mark_track_archived.track_id;
    if not found then
        perform media_worker.say_recording(false);
        return false;
    end if;
    perform media_worker.say_recording(false);
    update public.track_archiving_jobs as j
    set status = 'completed', error_message = 'cancelled: marked as archived by hand',
        next_attempt_at = null, parked = false, completed_at = clock_timestamp(),
        updated_at = clock_timestamp()
    where j.track_id = mark_track_archived.track_id and j.status in ('pending', 'processing');
    return true;
end
$$;
comment on function public.mark_track_archived(uuid, text, text, text) is
    'Records that a track''s files were archived by hand, at these URLs, and cancels waiting work. Returns false if there is no such track.';

create or replace function public.get_track_processing_status(track_id uuid) returns jsonb
language sql stable security definer set search_path = ''
as $$
    select jsonb_build_object(
        'track_id', t.id, 'status', j.status, 'attempts', coalesce(j.attempts, 0),
        'error_message', j.error_message, 'archived', coalesce(t.archived_to_storage, false),
        'storage_audio_url', t.storage_audio_url, 'storage_cover_url', t.storage_cover_url,
        'storage_video_url', t.storage_video_url,
        'archive_scheduled_at', media_worker.utc(t.archive_scheduled_at),
        'next_attempt_at', j.next_attempt_at, 'started_at', j.started_at,
        'completed_at', j.completed_at)
    from public.tracks as t
    left join public.track_archiving_jobs as j on j.track_id = t.id
    where t.id = get_track_processing_status.track_id
        and (media_worker.is_trusted_caller() or t.user_id = media_worker.current_user_id())
$$;
comment on function public.get_track_processing_status(uuid) is
    'How far a track''s archiving is: {track_id, status, attempts, error_message, archived, storage_audio_url, storage_cover_url, storage_video_url, archive_scheduled_at, next_attempt_at, started_at, completed_at}; status is null before there is a job. Null for an unknown track, and for a user for somebody else''s.';
