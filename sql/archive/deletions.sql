-- archive: what happens to a deleted track's work and objects, and to those of one with a new id.

create or replace function media_worker.tg_tracks__after_delete() returns trigger
language plpgsql security definer set search_path = '' set lock_timeout = '800ms'
as $$
declare
    deleted uuid[];
begin
    select array_agg(o.id) into deleted from old_rows as o;
    perform media_worker.forget_tracks(deleted);
    return null;
exception when others then
    perform media_worker.overlook(deleted, 'deletion', sqlstate, sqlerrm);
    return null;
end
$$;
comment on function media_worker.tg_tracks__after_delete() is
    'Ends the work of deleted tracks and queues the deletion of their objects; gives way as want_archiving() does.';

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
