-- cleanup: deletions of objects in the team's storage.

create table public.storage_cleanup_queue (
    like media_worker.work_template including all,
    bucket text not null,
    object_key text not null,
    source_table text,
    source_id text,
    reason text not null default 'manual',
    constraint storage_cleanup_queue_reason_is_known
        check (reason in ('hard_delete', 'superseded', 'orphan', 'manual'))
);
alter table public.storage_cleanup_queue alter column service set default 'storage';
alter table public.storage_cleanup_queue enable row level security;
comment on table public.storage_cleanup_queue is
    'Deletions of objects in the team''s storage, one row per deleted row and object. Only objects that Media Worker wrote are ever deleted.';
comment on column public.storage_cleanup_queue.bucket is 'Bucket of the object.';
comment on column public.storage_cleanup_queue.object_key is 'Key of the object in the bucket.';
comment on column public.storage_cleanup_queue.source_table is 'Table of the row whose file it was.';
comment on column public.storage_cleanup_queue.source_id is 'Key of that row.';
comment on column public.storage_cleanup_queue.reason is
    'hard_delete: the row was deleted; superseded: the file is stored under another key now; orphan: left by a run that was lost; manual: asked for by hand.';

insert into media_worker.work_kinds (kind, work_table, queue, task, ids_per_job) values
    ('storage_cleanup', 'public.storage_cleanup_queue', 'cleanup', 'cleanup.storage_objects', 100);
