-- archive: INSERT INTO track_archiving_jobs is a request.

create or replace function media_worker.tg_archiving_job__before_insert() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    track record;
    job public.track_archiving_jobs;
    trusted boolean := media_worker.is_trusted_caller();
begin
    -- the media row first: whoever asks for the same track waits here, and then sees this row
    select t.id, t.user_id, t.archived_to_storage as archived,
        media_worker.is_playable(t.status::text, t.audio_url::text) as playable
    into track from public.tracks as t where t.id = new.track_id for no key update;
    if not trusted and (track.id is null or new.user_id is null
            or track.user_id is distinct from media_worker.current_user_id()
            or new.user_id is distinct from media_worker.current_user_id()) then
        raise exception 'track % is not yours', coalesce(new.track_id::text, 'null')
            using errcode = 'insufficient_privilege',
                  hint = 'Insert (track_id, user_id) with a track of your own and your own id.';
    end if;
    perform media_worker.check_archivable(new.track_id, track.id is not null, track.playable);
    if track.archived then
        raise exception 'track % is archived already', new.track_id
            using errcode = 'invalid_parameter_value',
                  hint = 'Its files are in storage: see storage_audio_url in tracks. archive_track(track_id, force => true) archives it again.';
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
