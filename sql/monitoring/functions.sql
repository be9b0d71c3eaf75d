-- monitoring: figures behind the views.

create or replace function media_worker.queue_figures()
returns table (queue text, waiting bigint, running bigint, failed bigint, oldest_due_age interval)
language plpgsql stable security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
    parts text[] := '{}';
begin
    for k in select * from media_worker.work_kinds loop
        parts := parts || format($sql$
            select %L as queue,
                count(*) filter (where t.status = 'pending' and t.claim is null) as waiting,
                count(*) filter (where t.claim is not null) as running,
                count(*) filter (where t.status = 'failed') as failed,
                clock_timestamp() - min(t.updated_at)
                    filter (where t.runnable and not (%s)) as oldest
            from %s as t where t.status <> 'completed'
        $sql$, k.queue, k.held_where, k.work_table);
    end loop;
    return query execute format($sql$
        select f.queue, sum(f.waiting)::bigint, sum(f.running)::bigint, sum(f.failed)::bigint, max(f.oldest)
        from (%s) as f group by f.queue order by f.queue
    $sql$, array_to_string(parts, ' union all '));
end
$$;
comment on function media_worker.queue_figures() is 'The figures of the view queue_health.';

create or replace function media_worker.worker_figures()
returns table (worker_id uuid, started_at timestamptz, last_heartbeat_at timestamptz,
               running integer, alive boolean, host text, pid integer, queues text[])
language sql stable security definer set search_path = ''
as $$
    select w.worker_id, w.started_at, w.last_heartbeat_at, w.running, media_worker.is_alive(w),
        w.host, w.pid, w.queues
    from media_worker.workers as w
    order by w.started_at
$$;
comment on function media_worker.worker_figures() is 'The figures of the view worker_status.';

create or replace function media_worker.trigger_problems()
returns table (relation text, trigger text, problem text)
language sql stable security definer set search_path = ''
as $$
    with wanted (relation, name) as (
        select d.relation, d.identity from media_worker.defined_objects as d where d.kind = 'trigger'
        union
        select k.work_table::text, t.name
        from media_worker.work_kinds as k, unnest(array['zz_media_worker_work_row',
            'zz_media_worker_wake_insert', 'zz_media_worker_wake_update']) as t (name)
    )
    select w.relation, w.name, case when t.oid is null then 'missing' else 'disabled' end
    from wanted as w
    left join pg_catalog.pg_trigger as t on t.tgrelid = to_regclass(w.relation)
        and quote_ident(t.tgname) = w.name and t.tgparentid = 0
    where t.oid is null or t.tgenabled in ('D', 'R')
    order by w.relation, w.name
$$;
comment on function media_worker.trigger_problems() is
    'Triggers of ours that are missing or disabled, with the table that they belong to.';
