-- sync: runs, notifications, the log, and what both sides agreed on last.

create table public.media_sync_runs (
    like media_worker.work_template including all,
    force boolean not null default false,
    batch_size integer not null default 100,
    single_asset text,
    cursor jsonb,
    began_at timestamptz,
    seen bigint not null default 0,
    inserted bigint not null default 0,
    updated bigint not null default 0,
    deleted bigint not null default 0,
    unchanged bigint not null default 0,
    skipped bigint not null default 0,
    conflicts bigint not null default 0,
    constraint media_sync_runs_batch_size_is_sensible check (batch_size between 1 and 500)
);
alter table public.media_sync_runs alter column service set default 'cloudinary';
alter table public.media_sync_runs enable row level security;
comment on table public.media_sync_runs is
    'Comparisons of media_assets with the Cloudinary account, one row each. A run that was cut off goes on from its cursor.';
comment on column public.media_sync_runs.force is 'Rows are marked deleted even if these are more than half of them.';
comment on column public.media_sync_runs.batch_size is 'Assets that a page holds.';
comment on column public.media_sync_runs.single_asset is 'The public id of the one asset to be compared; null: all.';
comment on column public.media_sync_runs.cursor is 'Where the run is: the listing, and the place in it.';
comment on column public.media_sync_runs.began_at is 'When the first page was asked for: rows that were synced later are not taken for deleted.';
comment on column public.media_sync_runs.seen is 'Assets that Cloudinary has named so far.';
comment on column public.media_sync_runs.inserted is 'Assets that were new, or came back.';
comment on column public.media_sync_runs.updated is 'Rows that were made the same as their assets.';
comment on column public.media_sync_runs.deleted is 'Rows whose assets are gone.';
comment on column public.media_sync_runs.unchanged is 'Rows that were the same already.';
comment on column public.media_sync_runs.skipped is 'Assets that were left alone: their deletion is wanted, say.';
comment on column public.media_sync_runs.conflicts is 'Assets that had been changed on both sides.';

create table media_worker.media_sync_seen (
    run_id uuid not null references public.media_sync_runs (id) on delete cascade,
    asset uuid not null,
    primary key (run_id, asset)
);
comment on table media_worker.media_sync_seen is
    'The rows whose assets a run has seen, until it ends: the others'' assets may be gone.';

create table public.media_webhook_events (
    like media_worker.work_template including all,
    digest bytea not null,
    notification_type text,
    body text not null,
    sent_at timestamptz not null,
    outcome text,
    constraint media_webhook_events_come_once unique (digest)
);
alter table public.media_webhook_events alter column service set default 'cloudinary';
alter table public.media_webhook_events enable row level security;
comment on table public.media_webhook_events is
    'Notifications from Cloudinary as they came, once each, and what came of them. Set status to pending to have one applied again.';
comment on column public.media_webhook_events.digest is 'SHA-256 of body and timestamp.';
comment on column public.media_webhook_events.notification_type is 'What it says it is about.';
comment on column public.media_webhook_events.body is 'The notification as it came: JSON.';
comment on column public.media_webhook_events.sent_at is 'When Cloudinary signed it.';
comment on column public.media_webhook_events.outcome is
    'applied, unchanged (the row said so already), skipped, or unknown (a type that means nothing here); null: not yet looked at.';

create table public.media_sync_log (
    id bigint generated always as identity primary key,
    operation text not null,
    status text not null,
    source text not null,
    public_id text,
    details jsonb not null default '{}',
    processing_time_ms integer,
    error_message text,
    created_at timestamptz not null default clock_timestamp(),
    constraint media_sync_log_operation_is_known check (operation in (
        'upload', 'update', 'rename', 'delete', 'restore', 'full_sync', 'single_sync', 'webhook')),
    constraint media_sync_log_status_is_known check (status in ('success', 'error', 'skipped', 'conflict')),
    constraint media_sync_log_source_is_known check (source in ('database', 'cloudinary', 'webhook', 'full_sync'))
);
alter table public.media_sync_log enable row level security;
comment on table public.media_sync_log is
    'What was done to make media_assets and the Cloudinary account the same. Kept WORK_RETENTION_DAYS.';
comment on column public.media_sync_log.operation is 'What was done, or tried.';
comment on column public.media_sync_log.status is
    'success; error; skipped: on purpose nothing was done; conflict: changed on both sides, details has the values that lost.';
comment on column public.media_sync_log.source is 'Which side had changed, or who found out.';
comment on column public.media_sync_log.public_id is 'The asset''s name at Cloudinary.';
comment on column public.media_sync_log.details is 'What changed.';
comment on column public.media_sync_log.processing_time_ms is 'How long it took, in milliseconds.';
comment on column public.media_sync_log.error_message is 'What went wrong, or why nothing was done.';
comment on column public.media_sync_log.created_at is 'When it was done.';
-- serves cleanup_old_sync_logs and whoever reads the newest
create index media_sync_log_created_at on public.media_sync_log (created_at);

create table media_worker.mirrored_assets (
    id uuid primary key,
    inserted_by_mirror boolean not null default false,
    base jsonb not null,
    looked_at timestamptz not null default clock_timestamp(),
    source_hash bytea
);
comment on table media_worker.mirrored_assets is
    'By media_assets.id: what row and asset had in common last. Whatever differs from it was changed since, here or there.';
comment on column media_worker.mirrored_assets.inserted_by_mirror is
    'Media Worker inserted the row, since it found the asset, or the application has deleted it since: such a row does not protect the asset.';
comment on column media_worker.mirrored_assets.base is 'The values of public_id, resource_type, type, tags, context and display_name.';
comment on column media_worker.mirrored_assets.looked_at is 'As of when this is known; what was looked at earlier is not written.';
comment on column media_worker.mirrored_assets.source_hash is 'SHA-256 of the source_url that was uploaded last.';

create table media_worker.deleted_assets (
    key bytea primary key,
    version bigint,
    deleted_at timestamptz not null default clock_timestamp()
);
comment on table media_worker.deleted_assets is
    'Assets that Media Worker has deleted at Cloudinary, by media_worker.asset_key(): what was seen of them before does not bring them back.';
-- serves media_worker.forget_deleted_assets
create index deleted_assets_deleted_at on media_worker.deleted_assets (deleted_at);

create table media_worker.asset_pushes (
    like media_worker.work_template including all,
    asset uuid not null unique,
    changed_at timestamptz not null default clock_timestamp()
);
alter table media_worker.asset_pushes alter column service set default 'cloudinary';
comment on table media_worker.asset_pushes is
    'Rows of media_assets that were changed here and are to be made the same at Cloudinary; one row each, used again.';
comment on column media_worker.asset_pushes.changed_at is 'When the row was changed here last.';

create table media_worker.media_counts (
    id bigint generated always as identity primary key,
    minute timestamptz not null default '-infinity',
    resource_type text not null default '',
    sync_status text not null default '',
    number bigint not null default 0,
    bytes numeric not null default 0,
    milliseconds bigint not null default 0,
    timed bigint not null default 0
);
comment on table media_worker.media_counts is
    'What get_media_statistics() adds up: live rows by type and status, and operations of the log by minute and outcome. Triggers insert differences, which workers fold together.';

insert into media_worker.work_kinds (kind, work_table, queue, task, ids_per_job, keep_where) values
    ('media_sync', 'public.media_sync_runs', 'sync', 'sync.run', 1,
     -- media_sync_status shows the last one, and there is a nightly one once there was one
     'w.single_asset is null and not exists (select from public.media_sync_runs as later where later.single_asset is null and later.completed_at > w.completed_at)'),
    ('media_webhook', 'public.media_webhook_events', 'sync', 'sync.notifications', 100, 'false'),
    ('media_push', 'media_worker.asset_pushes', 'sync', 'sync.push', 20, 'false');
