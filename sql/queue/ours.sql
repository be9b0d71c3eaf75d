-- What of the schema public is ours: everything there that has a comment on it and a place below.

create or replace function media_worker.public_functions() returns oid[]
language sql stable set search_path = ''
as $$
    select coalesce(array_agg(p.oid), '{}') from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname = any (array[
        'pause_queue', 'resume_queue', 'retry_failed', 'schedule_track_archiving',
        'get_tracks_needing_archiving', 'archive_track', 'archive_tracks', 'mark_track_archived',
        'get_track_processing_status'])
$$;
comment on function media_worker.public_functions() is 'Our functions in the schema public.';

create or replace function media_worker.public_relations() returns oid[]
language sql stable set search_path = ''
as $$
    select coalesce(array_agg(c.oid), '{}') from pg_catalog.pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relname = any (array[
        'archive_policies', 'track_archiving_jobs', 'storage_cleanup_queue', 'archive_statistics',
        'track_playback', 'queue_health', 'worker_status'])
$$;
comment on function media_worker.public_relations() is
    'Our tables and views in the schema public; the application''s tables are in media_worker.application_tables.';
