-- archive: what happens when tracks are inserted, updated and deleted.
-- Triggers only write work rows, the schedule and the ledger's marks; they never fail the write.

select media_worker.attach_work_table('public.track_archiving_jobs');

-- The schedule ---------------------------------------------------------------------------------

create or replace function public.schedule_track_archiving() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    is_playable boolean := media_worker.is_playable(new.status::text, new.audio_url::text);
begin
    new.archived_to_storage := coalesce(new.archived_to_storage, false);
    if new.archived_to_storage then
        return new;
    end if;
    if tg_op = 'UPDATE' then
        if new.archive_scheduled_at is not distinct from old.archive_scheduled_at
            and (new.created_at is distinct from old.created_at
                 or new.provider is distinct from old.provider
                 or (not is_playable
                     and media_worker.is_playable(old.status::text, old.audio_url::text))) then
            new.archive_scheduled_at := null;
        end if;
    end if;
    if not is_playable then
        return new;
    elsif media_worker.in_team_storage(new.audio_url::text) then
        new.archived_to_storage := true;
        new.archived_at := now();
        new.storage_audio_url := new.audio_url;
    elsif new.archive_scheduled_at is null then
        new.archive_scheduled_at := media_worker.archive_time(
            new.provider::text, media_worker.utc(new.created_at));
    end if;
    return new;
end
$$;
comment on function public.schedule_track_archiving() is
    'Trigger on tracks: sets archive_scheduled_at from created_at and the provider''s policy, keeps what the application set itself, and records audio that is in the team''s storage already as archived.';

create or replace trigger zz_media_worker_schedule_insert before insert on public.tracks
for each row when (new.status = 'completed' and new.archived_to_storage is not true)
execute function public.schedule_track_archiving();

create or replace trigger zz_media_worker_schedule_update before update on public.tracks
for each row when (
    new.status is distinct from old.status
    or new.audio_url is distinct from old.audio_url
    or new.created_at is distinct from old.created_at
    or new.provider is distinct from old.provider
    or new.archive_scheduled_at is distinct from old.archive_scheduled_at
    or new.archived_to_storage is distinct from old.archived_to_storage)
execute function public.schedule_track_archiving();

-- What is archived stays so ------------------------------------------------------------------------

create or replace function media_worker.tg_track__keep_archived() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    has_new_source boolean := coalesce(new.audio_url is distinct from old.audio_url and new.audio_url <> '', false);
begin
    if media_worker.is_recording() then
        return new;
    end if;
    new.storage_audio_url := media_worker.latest_url(
        old.id, new.storage_audio_url::text, old.storage_audio_url::text);
    new.storage_cover_url := media_worker.latest_url(
        old.id, new.storage_cover_url::text, old.storage_cover_url::text);
    new.storage_video_url := media_worker.latest_url(
        old.id, new.storage_video_url::text, old.storage_video_url::text);
    if old.archived_to_storage is not true then
        return new;
    elsif has_new_source and not media_worker.in_team_storage(new.audio_url::text) then
        new.archived_to_storage := false;
        new.archived_at := null;
        new.archive_scheduled_at := case
            when media_worker.is_playable(new.status::text, new.audio_url::text) then now() end;
    elsif has_new_source or media_worker.copy_is_valid(
            old.id, old.audio_url::text, old.storage_audio_url::text) then
        new.archived_to_storage := true;
        new.archived_at := coalesce(new.archived_at, old.archived_at);
        new.archive_scheduled_at := coalesce(new.archive_scheduled_at, old.archive_scheduled_at);
        if has_new_source and new.storage_audio_url is not distinct from old.storage_audio_url then
            new.storage_audio_url := new.audio_url;
        end if;
    end if;
    return new;
end
$$;
comment on function media_worker.tg_track__keep_archived() is
    'An archived track whose audio_url changes is archived again; one that was saved as it was before its archiving is put right. Runs before the schedule is made.';

create or replace trigger zz_media_worker_keep_archived before update on public.tracks
for each row when (
    (old.archived_to_storage or old.storage_audio_url is not null
        or old.storage_cover_url is not null or old.storage_video_url is not null)
    and (new.audio_url is distinct from old.audio_url
        or new.archive_scheduled_at is distinct from old.archive_scheduled_at
        or new.archived_to_storage is distinct from old.archived_to_storage
        or new.archived_at is distinct from old.archived_at
        or new.storage_audio_url is distinct from old.storage_audio_url
        or new.storage_cover_url is distinct from old.storage_cover_url
        or new.storage_video_url is distinct from old.storage_video_url))
execute function media_worker.tg_track__keep_archived();

create or replace function media_worker.is_recording() returns boolean
language sql stable
as $$ select coalesce(current_setting('media_worker.recording', true) = 'on', false) $$;
comment on function media_worker.is_recording() is
    'Whether tracks are being written by Media Worker itself: then its triggers have nothing to put right.';

create or replace function media_worker.say_recording(yes boolean) returns void
language sql
as $$
    select pg_catalog.set_config('media_worker.recording', case when yes then 'on' else 'off' end, true)
$$;
comment on function media_worker.say_recording(boolean) is
    'Before and after a write of our own to tracks; see media_worker.is_recording().';

create or replace function media_worker.latest_url(track_id uuid, given text, known text)
returns text
language sql immutable
as $$
    select case
        when known is null then given
        when coalesce(given, '') = '' then known
        -- an earlier copy of ours under another key, which is gone
        when given <> known and strpos(given, '/' || track_id || '.') > 0 then known
        else given end
$$;
comment on function media_worker.latest_url(uuid, text, text) is
    'Which URL of a stored file counts when an application saves a row: what it sets itself, but neither nothing nor an earlier one of ours.';

create or replace function media_worker.copy_is_valid(track_id uuid, audio_url text, stored_url text)
returns boolean
language sql stable security definer set search_path = ''
as $$
    select coalesce(bool_or(o.state <> 'intent' and not o.doomed
            and o.source_hash = media_worker.url_hash(audio_url)), true)
        or media_worker.in_team_storage(audio_url)
    from media_worker.objects as o
    where o.owner_table = 'tracks' and o.owner_id = track_id::text and o.role = 'audio'
        and right(stored_url, length(o.object_key)) = o.object_key
$$;
comment on function media_worker.copy_is_valid(uuid, text, text) is
    'Whether an archived track''s stored audio still is that of this URL. True as well for a copy that is not ours: the ledger knows nothing better.';

-- Requests -------------------------------------------------------------------------------------

create or replace function media_worker.tg_tracks__after_insert() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    due uuid[];
begin
    select array_agg(n.id) into due from new_rows as n
    where n.status = 'completed' and n.audio_url <> ''
        and case when n.archived_to_storage
            then media_worker.is_unstored(n.cover_url::text, n.storage_cover_url::text)
                or media_worker.is_unstored(n.video_url::text, n.storage_video_url::text)
            else n.archive_scheduled_at <= now() end;
    if due is not null then
        perform media_worker.request_archiving(due);
    end if;
    return null;
exception when others then
    -- the application's write must not fail because of us: the reconciler asks again
    raise warning 'media_worker: asking for the archiving of tracks failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_tracks__after_insert() is
    'Asks for the archiving of inserted tracks that are due, and of what others have besides audio that is stored already.';

create or replace function media_worker.is_unstored(url text, stored_url text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select coalesce(url <> '' and stored_url is null and not media_worker.in_team_storage(url), false)
$$;
comment on function media_worker.is_unstored(text, text) is
    'Whether a file is at its provider only.';

create or replace function media_worker.tg_tracks__after_update() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    due uuid[];
begin
    if media_worker.is_recording() then
        return null;
    end if;
    select array_agg(distinct changed.id) into due from (
        (select n.id, n.audio_url::text, n.cover_url::text, n.video_url::text,
             n.archive_scheduled_at::timestamptz
         from new_rows as n
         where n.archived_to_storage is not true and n.archive_scheduled_at <= now()
             and n.status = 'completed' and n.audio_url <> ''
         except
         select o.id, o.audio_url::text, o.cover_url::text, o.video_url::text,
             o.archive_scheduled_at::timestamptz
         from old_rows as o
         where o.archived_to_storage is not true and o.status = 'completed')
        union all
        -- a cover or video that came when or after its track was archived
        (select n.id, null, n.cover_url::text, n.video_url::text, null::timestamptz
         from new_rows as n
         where n.archived_to_storage and n.status = 'completed'
             and (n.cover_url <> '' or n.video_url <> '')
         except
         select o.id, null, o.cover_url::text, o.video_url::text, null::timestamptz
         from old_rows as o
         where o.archived_to_storage and o.status = 'completed')
    ) as changed;
    if due is not null then
        perform media_worker.request_archiving(due);
    end if;
    return null;
exception when others then
    -- the application's write must not fail because of us: the reconciler asks again
    raise warning 'media_worker: asking for the archiving of tracks failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_tracks__after_update() is
    'Asks for the archiving of tracks that have become due, have other source URLs, or have lost their archived state; and of an archived track''s new cover or video.';

create or replace trigger zz_media_worker_archive_insert after insert on public.tracks
referencing new table as new_rows
for each statement execute function media_worker.tg_tracks__after_insert();

create or replace trigger zz_media_worker_archive_update after update on public.tracks
referencing old table as old_rows new table as new_rows
for each statement execute function media_worker.tg_tracks__after_update();

-- Deletions ------------------------------------------------------------------------------------

create or replace function media_worker.tg_tracks__after_delete() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.forget_tracks((select array_agg(o.id) from old_rows as o));
    return null;
exception when others then
    raise warning 'media_worker: queueing the deletion of tracks'' files failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_tracks__after_delete() is
    'Ends the work of deleted tracks and queues the deletion of their objects.';

create or replace function media_worker.forget_tracks(track_ids uuid[]) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    if track_ids is null then
        return;
    end if;
    with concerned as (
        select j.id from public.track_archiving_jobs as j
        where j.track_id = any (track_ids)
        order by j.track_id
        for no key update
    )
    update public.track_archiving_jobs as j
    set track_deleted = true,
        status = case when j.status = 'pending' and j.claim is null then 'completed' else j.status end,
        error_message = case when j.status = 'pending' and j.claim is null
            then 'cancelled: the track was deleted' else j.error_message end,
        completed_at = case when j.status = 'pending' and j.claim is null
            then clock_timestamp() else j.completed_at end,
        next_attempt_at = case when j.claim is null then null else j.next_attempt_at end,
        parked = false, updated_at = clock_timestamp()
    from concerned where j.id = concerned.id;
    perform media_worker.doom_objects('tracks', track_ids::text[], 'hard_delete');
end
$$;
comment on function media_worker.forget_tracks(uuid[]) is
    'Marks the job rows of deleted tracks, ends those that wait, and queues the deletion of the tracks'' objects.';

create or replace trigger zz_media_worker_archive_delete after delete on public.tracks
referencing old table as old_rows
for each statement execute function media_worker.tg_tracks__after_delete();

create or replace function media_worker.tg_track__after_new_id() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    update media_worker.objects as o
    set owner_id = new.id::text where o.owner_table = 'tracks' and o.owner_id = old.id::text;
    -- what is left of an earlier track of the new id
    delete from public.track_archiving_jobs as j
    where j.track_id = new.id and j.claim is null and j.status in ('completed', 'failed')
        and exists (select from public.track_archiving_jobs as o where o.track_id = old.id);
    update public.track_archiving_jobs as j
    set track_id = new.id, updated_at = clock_timestamp() where j.track_id = old.id;
    return null;
exception when others then
    raise warning 'media_worker: track % keeps its files under its old id %: %', new.id, old.id, sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_track__after_new_id() is
    'A track whose id changes keeps its files and its job row.';

create or replace trigger zz_media_worker_new_id after update of id on public.tracks
for each row when (new.id is distinct from old.id)
execute function media_worker.tg_track__after_new_id();
