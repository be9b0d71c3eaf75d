-- archive: what happens when tracks are inserted, updated and deleted.
-- Triggers only write work rows, the schedule and the ledger's marks; they never fail the write.

select media_worker.attach_work_table('public.track_archiving_jobs');

-- The schedule ---------------------------------------------------------------------------------

create or replace function public.schedule_track_archiving() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    replaced boolean := false;
begin
    if not media_worker.is_playable(new.status::text, new.audio_url::text) then
        if not new.archived_to_storage then
            new.archive_scheduled_at := null;
        end if;
        return new;
    end if;
    if tg_op = 'UPDATE' then
        if old.archived_to_storage then
            replaced := new.audio_url is distinct from old.audio_url
                and not media_worker.in_team_storage(new.audio_url::text);
            if replaced then
                new.archived_to_storage := false;
                new.archived_at := null;
                new.archive_scheduled_at := now();
                new.storage_audio_url := coalesce(new.storage_audio_url, old.storage_audio_url);
                new.storage_cover_url := coalesce(new.storage_cover_url, old.storage_cover_url);
                new.storage_video_url := coalesce(new.storage_video_url, old.storage_video_url);
                return new;
            elsif media_worker.copy_is_valid(new.id, new.audio_url::text) then
                new.archived_to_storage := true;
                new.archived_at := coalesce(new.archived_at, old.archived_at);
                new.archive_scheduled_at := coalesce(new.archive_scheduled_at, old.archive_scheduled_at);
                new.storage_audio_url := coalesce(new.storage_audio_url, old.storage_audio_url);
                new.storage_cover_url := coalesce(new.storage_cover_url, old.storage_cover_url);
                new.storage_video_url := coalesce(new.storage_video_url, old.storage_video_url);
                return new;
            end if;
        elsif new.archive_scheduled_at is not distinct from old.archive_scheduled_at
            and (new.created_at is distinct from old.created_at
                 or new.provider is distinct from old.provider) then
            new.archive_scheduled_at := null;
        end if;
    end if;
    if new.archived_to_storage then
        return new;
    end if;
    if media_worker.in_team_storage(new.audio_url::text) then
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
    'Trigger on tracks: sets archive_scheduled_at from created_at and the provider''s policy, keeps what the application set itself, and puts right a row that was saved as it was before its archiving.';

create or replace function media_worker.archive_time(provider text, created_at timestamptz)
returns timestamptz
language sql stable set search_path = ''
as $$
    select case when created_at is null then now()
        else least(created_at, now() + interval '1000 years')
            + (media_worker.policy_for(provider)).archive_after end
$$;
comment on function media_worker.archive_time(text, timestamptz) is
    'When a track is to be archived: created_at and its policy''s archive_after, or now without created_at.';

create or replace function media_worker.copy_is_valid(track_id uuid, audio_url text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select coalesce(bool_or(o.state = 'live' and not o.doomed
            and o.source_hash = media_worker.url_hash(audio_url)), true)
        or media_worker.in_team_storage(audio_url)
    from media_worker.objects as o
    where o.owner_table = 'tracks' and o.owner_id = track_id::text and o.role = 'audio'
$$;
comment on function media_worker.copy_is_valid(uuid, text) is
    'Whether an archived track''s verified audio still is that of this URL. True as well for one that was archived by hand: the ledger knows nothing better.';

create or replace trigger zz_media_worker_schedule_insert before insert on public.tracks
for each row when (new.status = 'completed' and not new.archived_to_storage)
execute function public.schedule_track_archiving();

create or replace trigger zz_media_worker_schedule_update before update on public.tracks
for each row when (
    new.status is distinct from old.status
    or new.audio_url is distinct from old.audio_url
    or new.created_at is distinct from old.created_at
    or new.provider is distinct from old.provider
    or new.archive_scheduled_at is distinct from old.archive_scheduled_at
    or new.archived_to_storage is distinct from old.archived_to_storage
    or new.archived_at is distinct from old.archived_at
    or new.storage_audio_url is distinct from old.storage_audio_url
    or new.storage_cover_url is distinct from old.storage_cover_url
    or new.storage_video_url is distinct from old.storage_video_url)
execute function public.schedule_track_archiving();

-- Requests -------------------------------------------------------------------------------------

create or replace function media_worker.tg_tracks__after_insert() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    due uuid[];
begin
    select array_agg(n.id) into due from new_rows as n
    where not n.archived_to_storage and n.archive_scheduled_at <= now()
        and n.status = 'completed' and n.audio_url <> '';
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
comment on function media_worker.tg_tracks__after_insert() is 'Asks for the archiving of inserted tracks that are due.';

create or replace function media_worker.tg_tracks__after_update() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    due uuid[];
begin
    select array_agg(changed.id) into due from (
        (select n.id, n.audio_url::text, n.cover_url::text, n.video_url::text,
             n.archive_scheduled_at::timestamptz
         from new_rows as n
         where not n.archived_to_storage and n.archive_scheduled_at <= now()
             and n.status = 'completed' and n.audio_url <> ''
         except
         select o.id, o.audio_url::text, o.cover_url::text, o.video_url::text,
             o.archive_scheduled_at::timestamptz
         from old_rows as o
         where not o.archived_to_storage and o.status = 'completed')
        union all
        -- a cover or video that came after its track was archived
        (select n.id, null, n.cover_url::text, n.video_url::text, null::timestamptz
         from new_rows as n
         where n.archived_to_storage and n.status = 'completed'
             and (n.cover_url <> '' or n.video_url <> '')
         except
         select o.id, null, o.cover_url::text, o.video_url::text, null::timestamptz
         from old_rows as o)
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
    update public.track_archiving_jobs as j
    set track_id = new.id, updated_at = clock_timestamp() where j.track_id = old.id;
    update media_worker.objects as o
    set owner_id = new.id::text where o.owner_table = 'tracks' and o.owner_id = old.id::text;
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

-- Policies -------------------------------------------------------------------------------------

create or replace function media_worker.tg_archive_policy__after_change() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    fallback interval := (media_worker.policy_for('default')).archive_after;
    name text := coalesce(new.provider, old.provider);
    before interval := coalesce(old.archive_after, fallback);
    after interval := coalesce(new.archive_after, fallback);
begin
    if before is distinct from after then
        update public.tracks as t
        set archive_scheduled_at = media_worker.utc(t.created_at) + after
        where not t.archived_to_storage
            and t.archive_scheduled_at = media_worker.utc(t.created_at) + before
            and case when name = 'default'
                then not exists (select from public.archive_policies as p
                                 where p.provider <> 'default' and p.provider = lower(t.provider::text))
                else lower(t.provider::text) = name end;
    end if;
    return null;
end
$$;
comment on function media_worker.tg_archive_policy__after_change() is
    'Reschedules the tracks that the policy had scheduled; times that the application set itself stay.';

create or replace trigger zz_media_worker_reschedule after insert or update or delete
on public.archive_policies
for each row execute function media_worker.tg_archive_policy__after_change();

create or replace function media_worker.tg_archive_policy__before_change() returns trigger
language plpgsql set search_path = ''
as $$
begin
    if old.provider = 'default' and (tg_op = 'DELETE' or new.provider <> 'default') then
        raise exception 'the policy default cannot be removed: it serves every provider without a policy'
            using hint = 'Update its intervals instead.';
    elsif tg_op = 'UPDATE' and new.provider <> old.provider then
        raise exception 'a policy''s provider cannot be changed'
            using hint = 'Insert a policy for the other provider and delete this one.';
    end if;
    return coalesce(new, old);
end
$$;
comment on function media_worker.tg_archive_policy__before_change() is 'Keeps the default policy.';

create or replace trigger zz_media_worker_keep_default before update or delete
on public.archive_policies
for each row execute function media_worker.tg_archive_policy__before_change();

-- Early requests -------------------------------------------------------------------------------

create or replace function media_worker.tg_archiving_job__before_insert() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    track record;
    job public.track_archiving_jobs;
    trusted boolean := media_worker.is_trusted_caller();
begin
    -- the media row first: whoever asks for the same track waits here, and then sees this row
    select t.user_id, t.archived_to_storage as archived,
        media_worker.is_playable(t.status::text, t.audio_url::text) as playable
    into track from public.tracks as t where t.id = new.track_id for no key update;
    if not trusted and (track is null or new.user_id is null
            or track.user_id is distinct from media_worker.current_user_id()
            or new.user_id is distinct from media_worker.current_user_id()) then
        raise exception 'track % is not yours', new.track_id using errcode = 'insufficient_privilege';
    elsif track is null then
        raise exception 'unknown track %', new.track_id using errcode = 'no_data_found';
    elsif not track.playable then
        raise exception 'track % cannot be archived: it is not completed or has no audio_url',
            new.track_id using errcode = 'invalid_parameter_value';
    elsif track.archived then
        raise exception 'track % is archived already', new.track_id
            using errcode = 'invalid_parameter_value',
                  hint = 'archive_track(track_id, force => true) archives it again.';
    end if;
    select * into job from public.track_archiving_jobs as j where j.track_id = new.track_id;
    if job.id is null or job.status in ('completed', 'failed') then
        perform media_worker.request_archiving(array[new.track_id]);
    end if;
    return null;
end
$$;
comment on function media_worker.tg_archiving_job__before_insert() is
    'An early request: INSERT INTO track_archiving_jobs (track_id, user_id). Checks that the track is the user''s own, and asks for its archiving unless that is under way. Raises 42501 for somebody else''s track, P0002 for an unknown one, 22023 for one that is archived already or cannot be.';

-- our own requests name a due_by
create or replace trigger zz_media_worker_early_request before insert on public.track_archiving_jobs
for each row when (new.due_by is null)
execute function media_worker.tg_archiving_job__before_insert();
