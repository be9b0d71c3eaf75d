-- cleanup: deletions of assets at Cloudinary, what holds deletions back, the account's budget.

alter table media_worker.work_kinds
    add column before_claim text,
    add column held_where text not null default 'false';
comment on column media_worker.work_kinds.before_claim is
    'A function in media_worker that is called with the kind before any of its rows is claimed; null: none.';
comment on column media_worker.work_kinds.held_where is
    'SQL on the row (alias t) that is true of rows which stay pending for now, whatever they are asked for.';

create table public.cloudinary_cleanup_queue (
    like media_worker.work_template including all,
    public_id text not null,
    resource_type text,
    type text not null default 'upload',
    version bigint,
    asset_id text,
    source_table text,
    source_id text,
    reason text not null default 'manual',
    sent_at timestamptz,
    released boolean not null default false,
    database text not null
        default (pg_control_system()).system_identifier || '/' || current_database(),
    constraint cloudinary_cleanup_queue_public_id_is_given check (public_id <> ''),
    constraint cloudinary_cleanup_queue_resource_type_is_known
        check (resource_type in ('image', 'video', 'raw')),
    constraint cloudinary_cleanup_queue_reason_is_known
        check (reason in ('soft_delete', 'hard_delete', 'manual'))
);
alter table public.cloudinary_cleanup_queue alter column service set default 'cloudinary';
alter table public.cloudinary_cleanup_queue enable row level security;
comment on table public.cloudinary_cleanup_queue is
    'Deletions of assets at Cloudinary, one row per deleted row. An asset that a living row uses is not deleted.';
comment on column public.cloudinary_cleanup_queue.public_id is 'The asset''s name at Cloudinary.';
comment on column public.cloudinary_cleanup_queue.resource_type is
    'image, video (audio too) or raw; null: not known, all are looked at.';
comment on column public.cloudinary_cleanup_queue.type is 'How the asset is delivered: upload, private, authenticated, …';
comment on column public.cloudinary_cleanup_queue.version is
    'The version that the deleted row had: a newer one at Cloudinary is not deleted. Null: any.';
comment on column public.cloudinary_cleanup_queue.asset_id is
    'Cloudinary''s own id of the asset that is to go: another one of that name stays. Null: not known.';
comment on column public.cloudinary_cleanup_queue.source_table is 'Table of the row whose asset it was.';
comment on column public.cloudinary_cleanup_queue.source_id is 'Key of that row.';
comment on column public.cloudinary_cleanup_queue.reason is
    'soft_delete, hard_delete: what was done to the row; manual: asked for by hand.';
comment on column public.cloudinary_cleanup_queue.sent_at is
    'When Cloudinary was asked to delete it: from then on it may be gone.';
comment on column public.cloudinary_cleanup_queue.released is
    'release_deletions() has let it go: it is held back no more.';
comment on column public.cloudinary_cleanup_queue.database is
    'The database that it was queued in: in a copy of that one it is held back.';
-- serves media_worker.deletion_is_open and known_version; a hash, since ids may be long
create index cloudinary_cleanup_queue_asset on public.cloudinary_cleanup_queue using hash (public_id);
-- serves the undo of a soft delete
create index cloudinary_cleanup_queue_source on public.cloudinary_cleanup_queue
    using hash (source_id) where status <> 'completed';
-- serves media_worker.watch_deletions: what waits and was not released
create index cloudinary_cleanup_queue_waiting on public.cloudinary_cleanup_queue (created_at)
    where status = 'pending' and claim is null and not released;

alter table public.storage_cleanup_queue
    add column released boolean not null default false,
    add column database text not null
        default (pg_control_system()).system_identifier || '/' || current_database();
comment on column public.storage_cleanup_queue.released is
    'release_deletions() has let it go: it is held back no more.';
comment on column public.storage_cleanup_queue.database is
    'The database that it was queued in: in a copy of that one it is held back.';
create index storage_cleanup_queue_waiting on public.storage_cleanup_queue (created_at)
    where status = 'pending' and claim is null and not released;

create table media_worker.media_files_without_asset (
    media_file_id uuid primary key,
    gone boolean not null default false,
    since timestamptz not null default clock_timestamp()
);
comment on table media_worker.media_files_without_asset is
    'Soft-deleted rows of media_files whose asset was deleted, or may have been: they cannot be had back without a new asset.';
comment on column media_worker.media_files_without_asset.gone is
    'The deletion was carried out; false: Cloudinary was asked for it.';

create table media_worker.cleanup_config (
    only_row boolean primary key default true check (only_row),
    delete_grace interval not null default '0',
    hold_above integer not null default 10000
);
comment on table media_worker.cleanup_config is
    'What triggers have to know of the workers'' settings: DELETE_GRACE and DELETE_HOLD_ABOVE. Written by workers at start. One row.';
insert into media_worker.cleanup_config default values;

create table media_worker.deletion_holds (
    kind text primary key,
    since timestamptz not null default clock_timestamp()
);
comment on table media_worker.deletion_holds is
    'Kinds of work of which more deletions waited than DELETE_HOLD_ABOVE: none is carried out until release_deletions().';

create table media_worker.api_budgets (
    account text primary key,
    allowed integer not null,
    remaining integer not null,
    reset_at timestamptz not null,
    updated_at timestamptz not null default clock_timestamp()
);
comment on table media_worker.api_budgets is
    'Calls that an account''s rate limit leaves to all workers together, as the service has said last.';
comment on column media_worker.api_budgets.allowed is 'Calls in a period.';
comment on column media_worker.api_budgets.remaining is 'Calls that are left in this period.';
comment on column media_worker.api_budgets.reset_at is 'When the next period begins.';

insert into media_worker.work_kinds
    (kind, work_table, queue, task, ids_per_job, before_claim, held_where) values
    ('asset_cleanup', 'public.cloudinary_cleanup_queue', 'cleanup', 'cleanup.assets', 100,
     'watch_deletions', 'not t.released and (t.database <> (select media_worker.this_database()) or (select media_worker.deletions_are_held(''asset_cleanup'')))');
update media_worker.work_kinds
set before_claim = 'watch_deletions', held_where = 'not t.released and (t.database <> (select media_worker.this_database()) or (select media_worker.deletions_are_held(''storage_cleanup'')))'
where kind = 'storage_cleanup';
