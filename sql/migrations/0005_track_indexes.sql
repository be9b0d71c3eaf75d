-- outside a transaction
-- The application's table may be large and in use: its indexes are built without blocking writes.

-- serves media_worker.archive_promote: what falls due
create index concurrently if not exists media_worker_tracks_due
    on public.tracks (archive_scheduled_at)
    where status = 'completed' and archived_to_storage is not true;

-- serves media_worker.archive_schedule_missing: what has no schedule
create index concurrently if not exists media_worker_tracks_unscheduled
    on public.tracks (id)
    where status = 'completed' and archived_to_storage is not true and archive_scheduled_at is null
        and audio_url <> '';
