-- archive: what happens when tracks are inserted and updated.
-- Triggers only write work rows, the schedule and the ledger's marks; they never fail the write.

select media_worker.attach_work_table('public.track_archiving_jobs');

-- The schedule ---------------------------------------------------------------------------------

create or replace function public.schedule_track_archiving() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    is_playable boolean := media_worker.is_playable(new.status::text, new.audio_url::text);
    prefixes text[];
    policies jsonb;
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
    elsif tg_op = 'UPDATE' or coalesce(current_setting('media_worker.archive_after', true), '') = '' then
        perform media_worker.say_archive_rules();
    end if;
    prefixes := nullif(current_setting('media_worker.storage_prefixes', true), '');
    policies := nullif(current_setting('media_worker.archive_after', true), '');
    if new.audio_url::text ^@ any (prefixes) then
        new.archived_to_storage := true;
        new.archived_at := now();
        new.storage_audio_url := new.audio_url;
    elsif new.archive_scheduled_at is null then
        new.archive_scheduled_at := coalesce(media_worker.time_after(media_worker.utc(new.created_at),
            coalesce(policies ->> lower(new.provider::text), policies ->> 'default')::interval), now());
    end if;
    return new;
end
$$;
comment on function public.schedule_track_archiving() is
    'Trigger on tracks: sets archive_scheduled_at from created_at and the provider''s policy, keeps what the application set itself, and records audio that is in the team''s storage already as archived.';

create or replace function media_worker.say_archive_rules() returns void
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    perform
        pg_catalog.set_config('media_worker.archive_after', (
            select jsonb_object_agg(p.provider, p.archive_after)::text
            from public.archive_policies as p), true),
        pg_catalog.set_config('media_worker.storage_prefixes', (
            select c.storage_prefixes::text from media_worker.archive_config as c), true);
end
$$;
comment on function media_worker.say_archive_rules() is
    'Reads what tracks are scheduled by into settings of the transaction: for an INSERT once, since a look-up a row costs more than the row.';

create or replace function media_worker.tg_tracks__before_insert() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.say_archive_rules();
    return null;
end
$$;
comment on function media_worker.tg_tracks__before_insert() is
    'Before the rows of an INSERT: reads what they are scheduled by.';

create or replace trigger zz_media_worker_prepare_insert before insert on public.tracks
for each statement execute function media_worker.tg_tracks__before_insert();

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
as $$
    -- anybody can make this setting: it counts only for those whose writes it is meant for
    select coalesce(current_setting('media_worker.recording', true) = 'on', false)
        and media_worker.is_trusted_caller()
$$;
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

create or replace function media_worker.want_archiving(track_ids uuid[]) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '800ms'
as $$
begin
    perform media_worker.request_archiving(track_ids);
exception when others then
    perform media_worker.overlook(track_ids, 'change', sqlstate, sqlerrm);
end
$$;
comment on function media_worker.want_archiving(uuid[]) is
    'request_archiving() for triggers: the application''s write neither fails nor waits because of us. Where somebody holds the job rows it gives way before a deadlock could choose the application.';

create or replace function media_worker.overlook(
    track_ids uuid[], what text, state text, reason text
) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    insert into media_worker.overlooked_tracks (track_id, what)
    select o.id, overlook.what from unnest(track_ids) as o (id);
    -- lock_not_available, deadlock_detected, serialization_failure: nothing is wrong
    if state not in ('55P03', '40P01', '40001') then
        raise warning 'media_worker: the % of % tracks is left to the worker: %',
            what, cardinality(track_ids), reason;
    end if;
end
$$;
comment on function media_worker.overlook(uuid[], text, text, text) is
    'Notes what a trigger could not do, and why: archive_overlooked() will.';

create or replace function media_worker.tg_tracks__after_insert() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    moment timestamptz := clock_timestamp();  -- the transaction may have begun before the schedule
    due uuid[];
begin
    select array_agg(n.id) into due from new_rows as n
    where n.status = 'completed' and n.audio_url <> ''
        and case when n.archived_to_storage
            then media_worker.is_unstored(n.cover_url::text, n.storage_cover_url::text)
                or media_worker.is_unstored(n.video_url::text, n.storage_video_url::text)
            else n.archive_scheduled_at <= moment end;
    perform media_worker.want_archiving(due) where due is not null;
    return null;
end
$$;
comment on function media_worker.tg_tracks__after_insert() is
    'Asks for the archiving of inserted tracks that are due, and of what others have besides audio that is stored already.';

create or replace function media_worker.is_unstored(url text, stored_url text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select coalesce(url <> '' and coalesce(stored_url, '') = '' and not media_worker.in_team_storage(url), false)
$$;
comment on function media_worker.is_unstored(text, text) is
    'Whether a file is at its provider only.';

create or replace function media_worker.tg_tracks__after_update() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    moment timestamptz := clock_timestamp();  -- the transaction may have begun before the schedule
    due uuid[];
begin
    if media_worker.is_recording() then
        return null;
    end if;
    select array_agg(distinct changed.id) into due from (
        (select n.id, n.audio_url::text, n.cover_url::text, n.video_url::text,
             n.archive_scheduled_at::timestamptz
         from new_rows as n
         where n.archived_to_storage is not true and n.archive_scheduled_at <= moment
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
    perform media_worker.want_archiving(due) where due is not null;
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
