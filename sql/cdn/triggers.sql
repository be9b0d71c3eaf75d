-- cdn: what happens when audio_tracks are inserted, updated and deleted.
-- Triggers only write work rows and what a track claims; they never fail the write.

select media_worker.attach_work_table('public.cdn_sync_jobs');

create or replace function media_worker.tg_cdn_sync_job__wanted_anew() returns trigger
language plpgsql set search_path = ''
as $$
begin
    new.wanted_since := clock_timestamp();
    return new;
end
$$;
comment on function media_worker.tg_cdn_sync_job__wanted_anew() is
    'SET status = ''pending'' on a row that has ended: a missing source is waited for anew.';

create or replace trigger zz_media_worker_wanted_anew before update of status on public.cdn_sync_jobs
for each row
when (new.status = 'pending' and old.status in ('completed', 'failed')
    and new.wanted_since = old.wanted_since)
execute function media_worker.tg_cdn_sync_job__wanted_anew();

-- A track claims what is there ---------------------------------------------------------------------

create or replace function media_worker.tg_audio_track__keep_claims() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    targets text[];
    known jsonb := '{}';
    kept jsonb;
begin
    if media_worker.is_recording() then
        return new;
    end if;
    targets := array(select c.name from media_worker.cdn_targets as c);
    if cardinality(targets) = 0 then
        return new;  -- until a worker has named a target, they are the application's alone
    end if;
    if tg_op = 'UPDATE' and new.track_id::text = old.track_id::text then
        known := media_worker.as_object(old.storage_locations::text);
        new.cdn_url := old.cdn_url;
        new.cdn_uploaded_at := old.cdn_uploaded_at;
    else
        new.cdn_url := null;
        new.cdn_uploaded_at := null;
    end if;
    kept := media_worker.kept_locations(new.storage_locations::text, known, targets);
    if tg_op = 'UPDATE' and new.track_id::text <> old.track_id::text
        and kept ->> 'supabase' = 'true'
        and media_worker.said_in_team_storage(old.track_id::text) then
        kept := media_worker.cdn_locations(kept, 'supabase', false);
    end if;
    if kept <> '{}' then
        new.storage_locations := kept;
    end if;
    return new;
exception when others then
    raise warning 'media_worker: the storage_locations of track % are as they were given: %',
        new.track_id, sqlerrm;
    return new;
end
$$;
comment on function media_worker.tg_audio_track__keep_claims() is
    'Where a track''s copies are is written by Media Worker alone: an application that saves a whole row which it read before does no harm, and a row that is new, or has a new track_id, has no copy yet.';

create or replace function media_worker.said_in_team_storage(track_id text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cdn_sync_jobs as j
        where j.track_hash = media_worker.track_hash(said_in_team_storage.track_id)
            and j.from_team_storage)
$$;
comment on function media_worker.said_in_team_storage(text) is
    'Whether it was Media Worker that wrote supabase: true into the track''s storage_locations.';

create or replace function media_worker.kept_locations(given text, known jsonb, targets text[])
returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
    found jsonb := media_worker.as_object(given);
    kept jsonb := found - targets;
    target text;
begin
    if found ? 'upload_timestamps' then
        kept := kept || jsonb_build_object('upload_timestamps', case
            when jsonb_typeof(found -> 'upload_timestamps') = 'object'
            then (found -> 'upload_timestamps') - targets else found -> 'upload_timestamps' end);
    end if;
    foreach target in array targets loop
        if known ->> target = 'true' then
            kept := media_worker.cdn_locations(
                kept, target, true, known #>> array['upload_timestamps', target]);
        elsif known ? target or found ? target then
            kept := kept || jsonb_build_object(target, false);
        end if;
    end loop;
    return kept;
end
$$;
comment on function media_worker.kept_locations(text, jsonb, text[]) is
    'storage_locations as an application gives them, but with what is known of the targets. Empty: there is nothing to say.';

create or replace trigger zz_media_worker_cdn_claims_insert before insert on public.audio_tracks
for each row when (
    new.storage_locations is not null or new.cdn_url is not null or new.cdn_uploaded_at is not null)
execute function media_worker.tg_audio_track__keep_claims();

create or replace trigger zz_media_worker_cdn_claims_update before update on public.audio_tracks
for each row when (
    new.storage_locations::text is distinct from old.storage_locations::text
    or new.cdn_url::text is distinct from old.cdn_url::text
    or new.cdn_uploaded_at is distinct from old.cdn_uploaded_at
    or new.track_id::text is distinct from old.track_id::text)
execute function media_worker.tg_audio_track__keep_claims();

-- Requests -----------------------------------------------------------------------------------------

create or replace function media_worker.tg_audio_tracks__after_insert() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '800ms'
as $$
declare
    asked text[];
begin
    select array_agg(n.track_id::text) into asked from new_rows as n;
    perform media_worker.request_cdn(asked);
    return null;
exception when others then
    perform media_worker.overlook_copies(asked, null, sqlstate, sqlerrm);
    return null;
end
$$;
comment on function media_worker.tg_audio_tracks__after_insert() is
    'Asks for the copies of inserted tracks.';

create or replace function media_worker.tg_audio_tracks__after_update() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '800ms'
as $$
declare
    asked text[];
    gone text[];
    claims text[];
begin
    if media_worker.is_recording() then
        return null;
    end if;
    select array_agg(distinct changed.track_id) into asked from (
        select n.track_id::text, n.file_path::text, n.sidecar_path::text, n.metadata::text,
            coalesce(n.cdn_enabled, true)
        from new_rows as n
        except
        select o.track_id::text, o.file_path::text, o.sidecar_path::text, o.metadata::text,
            coalesce(o.cdn_enabled, true)
        from old_rows as o
    ) as changed;
    if asked is null then
        return null;
    end if;
    -- a track with another id: the old one is gone
    select array_agg(lost.track_id), array_agg(lost.claims) into gone, claims from (
        select o.track_id::text,
            media_worker.cdn_claims(o.storage_locations::text, o.cdn_url::text)::text as claims
        from old_rows as o
        where o.track_id::text in (
            select x.track_id::text from old_rows as x
            except select n.track_id::text from new_rows as n)
    ) as lost;
    perform media_worker.request_cdn(asked);
    if gone is not null then
        perform media_worker.request_cdn_deletion(gone, claims);
    end if;
    return null;
exception when others then
    perform media_worker.overlook_copies(asked, null, sqlstate, sqlerrm);
    perform media_worker.overlook_copies(gone, claims, sqlstate, sqlerrm);
    return null;
end
$$;
comment on function media_worker.tg_audio_tracks__after_update() is
    'Asks for the copies of tracks with another file_path, sidecar_path, metadata or cdn_enabled; a changed track_id is a deletion and an insertion.';

create or replace function media_worker.tg_audio_tracks__after_delete() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '800ms'
as $$
declare
    gone text[];
    claims text[];
begin
    select array_agg(o.track_id::text),
        array_agg(media_worker.cdn_claims(o.storage_locations::text, o.cdn_url::text)::text)
    into gone, claims from old_rows as o;
    perform media_worker.request_cdn_deletion(gone, claims);
    return null;
exception when others then
    perform media_worker.overlook_copies(gone, claims, sqlstate, sqlerrm);
    return null;
end
$$;
comment on function media_worker.tg_audio_tracks__after_delete() is
    'Asks for the deletion of the copies of deleted tracks, where there may be one.';

create or replace function media_worker.overlook_copies(
    track_ids text[], claims text[], state text, reason text
) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    -- lock_not_available, deadlock_detected, serialization_failure: nothing is wrong
    if cardinality(track_ids) > 0 and state not in ('55P03', '40P01', '40001') then
        raise warning 'media_worker: the copies of % tracks are left to the worker: %',
            cardinality(track_ids), reason;
    end if;
    insert into media_worker.cdn_postponed (track_hash, track_id, track_deleted, claims, overlooked)
    select media_worker.track_hash(o.track_id), o.track_id, overlook_copies.claims is not null,
        coalesce(o.claims::text[], '{}'), true
    from unnest(track_ids, overlook_copies.claims) as o (track_id, claims);
exception when others then
    raise warning 'media_worker: nor can the copies be kept in mind for later: %', sqlerrm;
end
$$;
comment on function media_worker.overlook_copies(text[], text[], text, text) is
    'Notes that a trigger could not ask for the copies of these tracks (claims: they were deleted, and claimed these), and why: the application''s write neither fails nor waits because of us. Triggers give way before a deadlock could choose the application; media_worker.cdn_reconcile() makes up for it.';

create or replace trigger zz_media_worker_cdn_insert after insert on public.audio_tracks
referencing new table as new_rows
for each statement execute function media_worker.tg_audio_tracks__after_insert();

create or replace trigger zz_media_worker_cdn_update after update on public.audio_tracks
referencing old table as old_rows new table as new_rows
for each statement execute function media_worker.tg_audio_tracks__after_update();

create or replace trigger zz_media_worker_cdn_delete after delete on public.audio_tracks
referencing old table as old_rows
for each statement execute function media_worker.tg_audio_tracks__after_delete();
