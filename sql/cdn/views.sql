-- cdn: what people and the worker read.

create or replace view media_worker.cdn_tracks as
select t.track_id::text as track_id, t.file_path::text as file_path,
    t.sidecar_path::text as sidecar_path, t.metadata::text as metadata,
    coalesce(t.cdn_enabled, true) as enabled, t.cdn_url::text as cdn_url,
    media_worker.utc(t.cdn_uploaded_at) as cdn_uploaded_at,
    t.storage_locations::text as storage_locations
from public.audio_tracks as t;
comment on view media_worker.cdn_tracks is
    'audio_tracks in types of our own, whatever those of the application''s columns are. Runs with its owner''s rights.';

create or replace view public.cdn_sync_status with (security_invoker = true) as
select j.track_id, j.target, j.operation, j.status, j.cdn_url, j.uploaded_at, j.error_message
from public.cdn_sync_jobs as j;
comment on view public.cdn_sync_status is
    'A line per track and CDN target: what is wanted there (operation), how far that is, where the audio is and since when, and what went wrong. Deleted tracks are listed until WORK_RETENTION_DAYS after.';

create or replace function media_worker.cdn_figures()
returns table (target text, pending bigint, processing bigint, completed bigint, failed bigint,
               uploaded bigint)
language sql stable security definer set search_path = ''
as $$
    with job as (
        select j.target,
            count(*) filter (where j.status = 'pending') as pending,
            count(*) filter (where j.status = 'processing') as processing,
            count(*) filter (where j.status = 'completed'
                             and coalesce(j.error_message, '') not like 'cancelled:%') as completed,
            count(*) filter (where j.status = 'failed') as failed
        from public.cdn_sync_jobs as j group by j.target
    ), copy as (
        select c.name as target, count(*) as uploaded
        from media_worker.cdn_targets as c
        join public.audio_tracks as t on t.storage_locations ->> c.name = 'true'
        group by c.name
    )
    select c.name, coalesce(j.pending, 0), coalesce(j.processing, 0), coalesce(j.completed, 0),
        coalesce(j.failed, 0), coalesce(x.uploaded, 0)
    from media_worker.cdn_targets as c
    left join job as j on j.target = c.name
    left join copy as x on x.target = c.name
    order by c.active desc, c.position, c.name
$$;
comment on function media_worker.cdn_figures() is 'The figures of the view cdn_statistics, over all tracks.';

create or replace view public.cdn_statistics with (security_invoker = true) as
select * from media_worker.cdn_figures();
comment on view public.cdn_statistics is
    'A line per CDN target that workers have named: its pieces of work by status (completed: without pointless ones), and the tracks whose row says that their copy is there (uploaded).';
