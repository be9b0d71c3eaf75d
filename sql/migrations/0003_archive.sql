-- archive: policies, work rows, configuration.

create table public.archive_policies (
    provider text primary key,
    archive_after interval not null,
    expires_after interval not null,
    constraint archive_policies_provider_is_lower_case check (provider = lower(provider)),
    constraint archive_policies_times_are_ordered
        check (archive_after >= interval '0' and expires_after > archive_after
               and expires_after <= interval '100 years')
);
comment on table public.archive_policies is
    'When tracks are archived, by provider (lower case); the row default serves all others. Changing a policy reschedules the tracks that it had scheduled.';
comment on column public.archive_policies.archive_after is
    'Interval from the track''s created_at to its archiving.';
comment on column public.archive_policies.expires_after is
    'Interval from the track''s created_at to the deletion of its files by the provider.';
insert into public.archive_policies (provider, archive_after, expires_after) values
    ('default', interval '13 days', interval '15 days'),
    ('replicate', interval '0', interval '1 hour');

create table public.track_archiving_jobs (
    like media_worker.work_template including all,
    track_id uuid not null,
    user_id uuid,
    original_audio_url text,
    original_cover_url text,
    original_video_url text,
    storage_audio_url text,
    storage_cover_url text,
    storage_video_url text,
    metadata jsonb not null default '{}',
    forced boolean not null default false,
    late_from integer,
    track_deleted boolean not null default false,
    notified_at timestamptz,
    constraint track_archiving_jobs_one_per_track unique (track_id)
);
alter table public.track_archiving_jobs alter column service set default 'storage';
alter table public.track_archiving_jobs enable row level security;
comment on table public.track_archiving_jobs is
    'Archiving of tracks: one row per track, used again. Set status to pending to have a track archived again; insert (track_id, user_id) to have it archived early.';
comment on column public.track_archiving_jobs.track_id is
    'The track. The row outlives it: no foreign key.';
comment on column public.track_archiving_jobs.user_id is 'The track''s owner.';
comment on column public.track_archiving_jobs.original_audio_url is 'The provider''s URL that was archived last, or is to be.';
comment on column public.track_archiving_jobs.original_cover_url is 'The provider''s URL of the cover.';
comment on column public.track_archiving_jobs.original_video_url is 'The provider''s URL of the video.';
comment on column public.track_archiving_jobs.storage_audio_url is 'Where the audio is in the team''s storage (unsigned).';
comment on column public.track_archiving_jobs.storage_cover_url is 'Where the cover is in the team''s storage (unsigned).';
comment on column public.track_archiving_jobs.storage_video_url is 'Where the video is in the team''s storage (unsigned).';
comment on column public.track_archiving_jobs.metadata is
    'Per file (audio, cover, video): bytes, sha256, content_type, seconds; missing: the files that are gone at the provider.';
comment on column public.track_archiving_jobs.forced is 'Download again even what is there.';
comment on column public.track_archiving_jobs.late_from is
    'Attempts that had been made when the track expired: those after it are counted from here.';
comment on column public.track_archiving_jobs.track_deleted is
    'A DELETE of the track was seen. A track that is merely not visible is never taken for deleted.';
comment on column public.track_archiving_jobs.notified_at is 'When the owner was told of the failure: once per track.';
-- serves row-level security: own rows
create index track_archiving_jobs_user on public.track_archiving_jobs (user_id);

create table media_worker.archive_config (
    only_row boolean primary key default true check (only_row),
    storage_prefixes text[] not null default '{}'
);
comment on table media_worker.archive_config is
    'What triggers have to know of the worker''s settings: URL prefixes of the team''s storage. Written by workers at start. One row.';
insert into media_worker.archive_config default values;

create table media_worker.overlooked_tracks (
    id bigint primary key generated always as identity,
    track_id uuid not null,
    what text not null,
    scheduled_after interval,
    noted_at timestamptz not null default clock_timestamp(),
    constraint overlooked_tracks_what_is_known
        check (what in ('change', 'deletion', 'policy', 'refusal'))
);
comment on table media_worker.overlooked_tracks is
    'What could not be done for a track at once, because others held it: archive_overlooked() makes up for it. Only ever inserted into by triggers, so that they wait for nobody.';
comment on column media_worker.overlooked_tracks.what is
    'change: its archiving is to be asked for; deletion: its files are to be deleted; policy: it is to be scheduled anew, from scheduled_after; refusal: the application''s own rules refuse the schedule, which is tried again after a day.';
comment on column media_worker.overlooked_tracks.scheduled_after is
    'The interval from created_at by which its former policy had scheduled it.';
-- serves media_worker.archive_schedule_missing: what was refused
create index overlooked_tracks_refused on media_worker.overlooked_tracks (track_id)
    where what = 'refusal';

insert into media_worker.work_kinds (kind, work_table, queue, task, ids_per_job, keep_where) values
    ('archive', 'public.track_archiving_jobs', 'archive', 'archive.track', 1,
     'w.status = ''failed'' and exists (select from public.tracks t where t.id = w.track_id and t.archived_to_storage is not true)');
