-- cdn: targets, work rows, what waits for a target.

create table media_worker.cdn_targets (
    name text primary key,
    position integer not null,
    active boolean not null default true,
    updated_at timestamptz not null default clock_timestamp(),
    constraint cdn_targets_name_is_free check (name not in ('', 'supabase', 'upload_timestamps'))
);
comment on table media_worker.cdn_targets is
    'The CDN targets of the workers'' settings, since triggers cannot read these. Written by workers at start; one that was taken out of the settings stays, not active.';
comment on column media_worker.cdn_targets.position is
    'Place in CDN_TARGETS: cdn_url is the first active target''s.';
comment on column media_worker.cdn_targets.active is 'Whether the settings name it now.';

create table public.cdn_sync_jobs (
    like media_worker.work_template including all,
    track_id text not null,
    track_hash bytea not null generated always as
        (sha256(replace(track_id, E'\\', E'\\\\')::bytea)) stored,
    target text not null,
    operation text not null,
    file_path text,
    sidecar_path text,
    cdn_url text,
    sidecar_cdn_url text,
    uploaded_at timestamptz,
    track_deleted boolean not null default false,
    stale boolean not null default false,
    from_team_storage boolean not null default false,
    wanted_since timestamptz not null default clock_timestamp(),
    constraint cdn_sync_jobs_one_per_target unique (track_hash, target),
    constraint cdn_sync_jobs_operation_is_known check (operation in ('upload', 'delete'))
);
alter table public.cdn_sync_jobs enable row level security;
comment on table public.cdn_sync_jobs is
    'Copies of tracks on CDN targets: one row per track and target, used again. Set status to pending to have the target made to agree with the track again.';
comment on column public.cdn_sync_jobs.track_id is
    'The row of audio_tracks. This row outlives it: no foreign key.';
comment on column public.cdn_sync_jobs.track_hash is
    'SHA-256 of track_id, which may be too long for an index.';
comment on column public.cdn_sync_jobs.target is 'The CDN target, as CDN_TARGETS names it.';
comment on column public.cdn_sync_jobs.operation is
    'What is wanted now: upload or delete. A run looks at the track itself.';
comment on column public.cdn_sync_jobs.file_path is 'The track''s file_path when the work was asked for or recorded last.';
comment on column public.cdn_sync_jobs.sidecar_path is 'The track''s sidecar_path at that time.';
comment on column public.cdn_sync_jobs.cdn_url is 'Where the audio is on this target (unsigned); null: nowhere.';
comment on column public.cdn_sync_jobs.sidecar_cdn_url is 'Where the sidecar is on this target (unsigned); null: nowhere.';
comment on column public.cdn_sync_jobs.uploaded_at is 'When the copy on this target was made; null: there is none.';
comment on column public.cdn_sync_jobs.track_deleted is
    'A DELETE of the track was seen. A track that is merely not visible is never taken for deleted.';
comment on column public.cdn_sync_jobs.stale is
    'Caches may still hold what was overwritten or deleted: they are to be purged.';
comment on column public.cdn_sync_jobs.from_team_storage is
    'The copy''s source was in the team''s own storage, and audio_tracks.storage_locations was made to say so.';
comment on column public.cdn_sync_jobs.wanted_since is
    'When the work was asked for last: a source that is missing may be on its way for a while.';

create table media_worker.cdn_postponed (
    id bigint primary key generated always as identity,
    track_hash bytea not null,
    track_id text not null,
    track_deleted boolean not null,
    claims text[] not null default '{}',
    overlooked boolean not null default false,
    since timestamptz not null default clock_timestamp()
);
comment on table media_worker.cdn_postponed is
    'Tracks that were written while no target was known, or whose work could not be asked for at that moment. media_worker.cdn_reconcile() asks for it.';
comment on column media_worker.cdn_postponed.overlooked is
    'Noted by a trigger that gave way to who held the work. Such notes are only ever inserted, so that they wait for nobody; a track may have several.';
comment on column media_worker.cdn_postponed.claims is
    'Targets on which a deleted track claimed a copy; * for any: it had a cdn_url.';
-- serves media_worker.postpone_cdn: without a target, tracks have one note each
create unique index cdn_postponed_one_per_track on media_worker.cdn_postponed (track_hash)
    where not overlooked;
-- serves media_worker.cdn_reconcile: the oldest first
create index cdn_postponed_since on media_worker.cdn_postponed (since);

insert into media_worker.work_kinds (kind, work_table, queue, task, ids_per_job, keep_where) values
    ('cdn', 'public.cdn_sync_jobs', 'cdn', 'cdn.sync', 1, 'not w.track_deleted');
