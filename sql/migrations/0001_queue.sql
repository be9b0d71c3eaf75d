-- The kernel's tables: what a work row looks like, who works, what is paused or out of order.

create table media_worker.work_template (
    id uuid primary key default gen_random_uuid(),
    status text not null default 'pending',
    attempts integer not null default 0,
    next_attempt_at timestamptz,
    error_message text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    due_by timestamptz,
    service text not null default '',
    claim uuid,
    claimed_by uuid,
    crashes integer not null default 0,
    crashes_alone integer not null default 0,
    parked boolean not null default false,
    runnable boolean not null generated always as
        (status = 'pending' and claim is null and next_attempt_at is null) stored,
    constraint work_status_is_known
        check (status in ('pending', 'processing', 'completed', 'failed')),
    constraint work_attempts_are_counted check (attempts >= 0 and crashes >= 0 and crashes_alone >= 0)
);

comment on table media_worker.work_template is
    'What every work table begins with: create table … (like media_worker.work_template including all, …). Holds no rows.';
comment on column media_worker.work_template.status is
    'pending: wanted, processing: a worker is at it, completed: done (or pointless: error_message begins with "cancelled:"), failed: given up, error_message says what to do. Set it to pending to have the work done again.';
comment on column media_worker.work_template.attempts is
    'Tries that count so far. Stopping, crashes and outages of the team''s own services count none.';
comment on column media_worker.work_template.next_attempt_at is
    'When the next try is due; null: at once.';
comment on column media_worker.work_template.error_message is
    'What went wrong in the last try and what to do about it, or why the work was pointless.';
comment on column media_worker.work_template.started_at is 'When the last try began.';
comment on column media_worker.work_template.completed_at is
    'When the work ended, completed or failed.';
comment on column media_worker.work_template.due_by is
    'By when the work should be done: the queue serves the nearest first. Null: from now.';
comment on column media_worker.work_template.service is
    'The team''s own service that the work needs (storage, …): in its outage the work waits for it.';
comment on column media_worker.work_template.claim is
    'The running try''s token: every write of that try says "and claim = token". Set by workers only.';
comment on column media_worker.work_template.claimed_by is 'The worker that holds the claim.';
comment on column media_worker.work_template.crashes is
    'How often a process died while it was at this row. From the second time on the row waits before it is run again, in a process of its own.';
comment on column media_worker.work_template.crashes_alone is
    'How often the process that ran this row alone died under a living worker. The third time fails it.';
comment on column media_worker.work_template.parked is
    'Waits for the end of an outage of `service`.';
comment on column media_worker.work_template.runnable is
    'Can be taken now. Whatever becomes runnable is put into the queue by a trigger.';

-- serves media_worker.reconcile: runnable rows that no job names
create index work_template_runnable on media_worker.work_template (id) where runnable;
-- serves media_worker.promote: what falls due
create index work_template_next_attempt on media_worker.work_template (next_attempt_at)
    where status = 'pending' and claim is null and next_attempt_at is not null and not parked;
-- serves media_worker.promote: what waits for the end of an outage, and who probes it
create index work_template_parked on media_worker.work_template (service, due_by, id) where parked;
-- serves media_worker.rescue: what dead workers hold
create index work_template_claimed on media_worker.work_template (claimed_by)
    where claim is not null;
-- serves media_worker.forget_work, retry_failed and statistics: what has ended
create index work_template_ended on media_worker.work_template (status, completed_at)
    where status in ('completed', 'failed');

create table media_worker.work_kinds (
    kind text primary key,
    work_table regclass not null unique,
    queue text not null,
    task text not null,
    ids_per_job integer not null,
    keep_where text not null default 'false',
    constraint work_kinds_ids_per_job_is_sensible check (ids_per_job between 1 and 100)
);
comment on table media_worker.work_kinds is
    'The work tables, and into which queue their rows go: `ids_per_job` ids in a job of the task `task`. `keep_where` (SQL on the row, alias w) names ended rows that a view still needs and that are kept.';

create table media_worker.workers (
    worker_id uuid primary key,
    host text not null,
    pid integer not null,
    version text not null,
    queues text[] not null,
    started_at timestamptz not null default clock_timestamp(),
    last_heartbeat_at timestamptz not null default clock_timestamp(),
    returned_at timestamptz,
    stopped_at timestamptz,
    running integer not null default 0
);
comment on table media_worker.workers is
    'Worker processes. A claim lives as long as its worker''s heartbeat is fresh (media_worker.lease()).';
comment on column media_worker.workers.returned_at is
    'When it was last back after a silence longer than its lease: it, or its way to the database, had been away.';

create table media_worker.outages (
    service text primary key,
    since timestamptz not null default clock_timestamp(),
    probes integer not null default 0,
    next_probe_at timestamptz not null,
    message text not null
);
comment on table media_worker.outages is
    'Services of the team''s own that do not work now. The work that needs them waits; one piece of it at a time probes the service.';

create table media_worker.paused_queues (
    queue text primary key,
    until timestamptz,
    paused_at timestamptz not null default clock_timestamp()
);
comment on table media_worker.paused_queues is
    'Queues that pause_queue() has stopped, until a time or until resume_queue().';

create table media_worker.periodic_runs (
    name text primary key,
    last_run_at timestamptz not null
);
comment on table media_worker.periodic_runs is
    'When each periodic duty was last done, so that one that was missed is made up for.';

create table media_worker.installation (
    only_row boolean primary key default true check (only_row),
    installed_at timestamptz not null default now()
);
comment on table media_worker.installation is 'When Media Worker came into this database. One row.';
insert into media_worker.installation default values;
