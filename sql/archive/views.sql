-- archive: what people and the worker read.

create or replace view media_worker.playable_tracks as
select t.id as track_id, t.user_id, t.title::text as title, t.provider::text as provider,
    t.audio_url::text as audio_url, t.cover_url::text as cover_url, t.video_url::text as video_url,
    t.storage_audio_url::text as storage_audio_url,
    coalesce(t.archived_to_storage, false) as archived, media_worker.utc(t.archived_at) as archived_at,
    media_worker.utc(t.archive_scheduled_at) as scheduled_at,
    media_worker.time_after(
        coalesce(media_worker.utc(t.created_at), media_worker.utc(t.archive_scheduled_at), now()),
        coalesce(p.expires_after, d.expires_after)) as expires_at
from public.tracks as t
left join public.archive_policies as p on p.provider = lower(t.provider::text)
left join public.archive_policies as d on d.provider = 'default'
where t.status = 'completed' and t.audio_url <> '';
comment on view media_worker.playable_tracks is
    'Tracks that are archived or to be archived (completed, with an audio URL), with the time at which their provider deletes their files. Runs with its owner''s rights.';

create or replace view public.track_playback with (security_invoker = true) as
select t.id as track_id,
    coalesce(nullif(t.storage_audio_url, ''), t.audio_url) as audio_url,
    coalesce(nullif(t.storage_cover_url, ''), t.cover_url) as cover_url,
    coalesce(nullif(t.storage_video_url, ''), t.video_url) as video_url,
    case when t.storage_audio_url <> '' then 'storage' else 'provider' end as source
from public.tracks as t;
comment on view public.track_playback is
    'What a player should load: each file from storage if it is there, else from the provider; source (storage or provider) says it of the audio. Shows the tracks that the caller may read.';

create or replace function media_worker.archive_figures()
returns table (total_archived bigint, pending_archive bigint, urgent_archive_needed bigint,
               expired_tracks bigint, failed_archive bigint, archive_percentage numeric,
               archived_in_time_percentage numeric, failure_percentage numeric,
               average_archiving_time interval)
language sql stable security definer set search_path = ''
as $$
    with track as (
        select t.archived, t.archived_at, t.expires_at, t.expires_at <= now() as expired,
            j.status = 'failed' as failed
        from media_worker.playable_tracks as t
        left join public.track_archiving_jobs as j on j.track_id = t.track_id
    ), state as (
        select count(*) as total,
            count(*) filter (where archived) as archived,
            count(*) filter (where not archived and not expired) as pending,
            count(*) filter (where not archived and not expired
                             and expires_at < now() + interval '2 days') as urgent,
            count(*) filter (where not archived and expired) as expired,
            count(*) filter (where not archived and failed) as failed,
            count(*) filter (where archived and archived_at > now() - interval '30 days') as recent,
            count(*) filter (where archived and archived_at > now() - interval '30 days'
                             and archived_at < expires_at) as in_time,
            count(*) filter (where not archived and expired
                             and expires_at > now() - interval '30 days') as lost
        from track
    ), job as (
        select count(*) filter (where j.status = 'failed') as failed,
            count(*) as ended,
            avg(j.completed_at - j.started_at) filter (where j.status = 'completed') as duration
        from public.track_archiving_jobs as j
        where j.status in ('completed', 'failed') and j.completed_at > now() - interval '30 days'
            and coalesce(j.error_message, '') not like 'cancelled:%'
    )
    select s.archived, s.pending, s.urgent, s.expired, s.failed,
        round(100.0 * s.archived / nullif(s.total, 0), 1),
        round(100.0 * s.in_time / nullif(s.recent + s.lost, 0), 1),
        round(100.0 * j.failed / nullif(j.ended, 0), 1),
        j.duration
    from state as s cross join job as j
$$;
comment on function media_worker.archive_figures() is 'The figures of the view archive_statistics, over all tracks.';

create or replace view public.archive_statistics with (security_invoker = true) as
select * from media_worker.archive_figures();
comment on view public.archive_statistics is
    'Over completed tracks with an audio URL. total_archived; pending_archive: neither archived nor expired; urgent_archive_needed: of those, under 2 days left; expired_tracks: not archived, expired; failed_archive: not archived, last job failed; archive_percentage: archived of all. Over the last 30 days: archived_in_time_percentage (of those archived or lost), failure_percentage (of ended jobs), average_archiving_time (from the last try''s start to its end). Percentages have one decimal; null where there is nothing to count.';
