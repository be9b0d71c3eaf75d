-- monitoring: what operators look at.

create or replace view public.queue_health with (security_invoker = true) as
select * from media_worker.queue_figures();
comment on view public.queue_health is
    'A line per queue: waiting (to run now or later), running, failed, and how long the oldest piece of work that could run has been waiting for a worker (oldest_due_age; null: nothing waits).';

create or replace view public.worker_status with (security_invoker = true) as
select * from media_worker.worker_figures();
comment on view public.worker_status is
    'Worker processes of the last hour: last_heartbeat_at, pieces of work running, and whether the lease holds (alive).';
