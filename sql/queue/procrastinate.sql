-- The only file that knows procrastinate's objects.
-- Its functions are unqualified inside, so ours that call them run with its schema as search_path.

create or replace function media_worker.wake(
    queue text, task text, ids uuid[], due_bys timestamptz[], ids_per_job integer
) returns void
language sql security definer set search_path = procrastinate, pg_temp
as $$
    select procrastinate_defer_jobs_v1(array_agg(
        row(queue, task, chunk.priority, null, null,
            jsonb_build_object('ids', chunk.ids), null)::procrastinate_job_to_defer_v1
        order by chunk.number))
    from (
        select (place - 1) / ids_per_job as number, jsonb_agg(piece.id order by place) as ids,
            media_worker.priority(min(piece.due_by)) as priority
        from (
            select id, coalesce(due_by, now()) as due_by,
                row_number() over (order by coalesce(due_by, now()), id) as place
            from unnest(ids, due_bys) as given(id, due_by)
        ) as piece
        group by 1
    ) as chunk
$$;
comment on function media_worker.wake(text, text, uuid[], timestamptz[], integer) is
    'Puts jobs for work rows into the queue, nearest due_by first. Called by triggers for rows that have just become runnable, and by the reconciler.';

create or replace function media_worker.priority(due_by timestamptz) returns integer
language sql stable set search_path = ''
as $$
    select -(extract(epoch from least(greatest(coalesce(due_by, now()), now() - interval '10 years'),
                                      now() + interval '10 years')) / 60)::integer
$$;
comment on function media_worker.priority(timestamptz) is
    'Priority of a job: the earlier its deadline (in minutes), the higher. One order over all queues.';

create or replace function media_worker.queued_ids(task text, taken_too boolean)
returns setof uuid
language sql stable security definer set search_path = procrastinate, pg_temp
as $$
    select named.id::uuid
    from procrastinate_jobs as job, jsonb_array_elements_text(job.args -> 'ids') as named(id)
    where job.task_name = queued_ids.task
        and (job.status = 'todo' or (taken_too and job.status = 'doing'))
$$;
comment on function media_worker.queued_ids(text, boolean) is
    'Ids of the work rows that a waiting job names, and with taken_too also those of jobs that a worker has taken.';

create or replace function media_worker.return_lost_jobs(stale interval)
returns integer
language plpgsql security definer set search_path = procrastinate, pg_temp
as $$
declare
    returned integer;
begin
    with lost as (
        select job.id
        from procrastinate_jobs as job
        left join procrastinate_workers as worker on worker.id = job.worker_id
        where job.status = 'doing'
            and (worker.id is null or worker.last_heartbeat < now() - stale)
        for update of job skip locked
    )
    update procrastinate_jobs as job
    set status = 'todo', worker_id = null, abort_requested = false
    from lost where job.id = lost.id;
    get diagnostics returned = row_count;
    return returned;
end
$$;
comment on function media_worker.return_lost_jobs(interval) is
    'Puts the jobs that dead workers had taken back into the queue; returns their number.';

create or replace function media_worker.forget_dead_jobs() returns integer
language plpgsql security definer set search_path = procrastinate, pg_temp
as $$
declare
    forgotten integer;
begin
    delete from procrastinate_jobs where status in ('succeeded', 'failed', 'cancelled', 'aborted');
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;
comment on function media_worker.forget_dead_jobs() is
    'Deletes ended jobs: the work rows are the history.';
