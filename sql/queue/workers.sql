-- Workers: registration, heartbeat, lease.

create or replace function media_worker.lease() returns interval
language sql immutable set search_path = ''
as $$ select interval '30 seconds' $$;
comment on function media_worker.lease() is
    'How long a worker may be silent before its work is given to others.';

create or replace function media_worker.is_alive(w media_worker.workers) returns boolean
language sql stable set search_path = ''
as $$
    select w.stopped_at is null
        and greatest(w.last_heartbeat_at, pg_postmaster_start_time(),
                     (select max(other.returned_at) from media_worker.workers as other))
            > clock_timestamp() - media_worker.lease()
$$;
comment on function media_worker.is_alive(media_worker.workers) is
    'Whether a worker''s lease holds: it counts from its last heartbeat or the database''s return, whichever is later. The database has returned when it starts, and when a worker is back after a silence: it may have been out of reach for all of them.';

create or replace function media_worker.beat(
    worker uuid, host text, pid integer, version text, queues text[], running integer
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    insert into media_worker.workers as w (worker_id, host, pid, version, queues, running)
    values (worker, host, pid, version, queues, running)
    on conflict (worker_id) do update
    set returned_at = case when media_worker.is_alive(w) then w.returned_at else clock_timestamp() end,
        last_heartbeat_at = clock_timestamp(), running = excluded.running, stopped_at = null
$$;
comment on function media_worker.beat(uuid, text, integer, text, text[], integer) is
    'Registers a worker and keeps its claims alive.';

create or replace function media_worker.leave(worker uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.workers set stopped_at = clock_timestamp(), running = 0
    where worker_id = worker
$$;
comment on function media_worker.leave(uuid) is
    'A worker stops in order: what it still holds, if anything, is free at once.';
