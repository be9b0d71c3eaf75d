-- For operators: pausing, resuming, retrying.

create or replace function media_worker.is_paused(name text) returns boolean
language sql stable set search_path = ''
as $$
    select exists (select from media_worker.paused_queues as p
                   where p.queue = name and (p.until is null or p.until > clock_timestamp()))
$$;
comment on function media_worker.is_paused(text) is 'Whether a queue is paused now.';

create or replace function media_worker.check_queue(name text) returns void
language plpgsql immutable set search_path = ''
as $$
begin
    if name is null or name not in ('archive', 'cdn', 'cleanup', 'sync', 'maintenance') then
        raise exception 'unknown queue %', coalesce(quote_literal(name), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'The queues are archive, cdn, cleanup, sync and maintenance.';
    end if;
end
$$;
comment on function media_worker.check_queue(text) is 'Raises an error for a name that is no queue.';

create or replace function public.pause_queue(queue text, until timestamptz default null)
returns void
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.check_queue(queue);
    if until <= clock_timestamp() then
        raise exception 'until (%) has passed already', until
            using errcode = 'invalid_parameter_value',
                  hint = 'Give a time in the future, or null to pause until resume_queue().';
    end if;
    insert into media_worker.paused_queues as p (queue, until) values (queue, until)
    on conflict on constraint paused_queues_pkey do update set until = excluded.until;
end
$$;
comment on function public.pause_queue(text, timestamptz) is
    'Stops taking work from a queue (archive, cdn, cleanup, sync, maintenance) until a time, or until resume_queue(). What runs is finished; work goes on being accepted and waits. Raises 22023 for an unknown queue or a time that has passed.';

create or replace function public.resume_queue(queue text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.check_queue(queue);
    delete from media_worker.paused_queues as p where p.queue = resume_queue.queue;
    perform media_worker.wake_forgotten(k, true)
    from media_worker.work_kinds as k where k.queue = resume_queue.queue;
end
$$;
comment on function public.resume_queue(text) is
    'Ends a pause: what has waited is taken up at once. No error if the queue was not paused; 22023 for an unknown queue.';

create or replace function public.retry_failed(queue text) returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
    touched bigint;
    total bigint := 0;
begin
    perform media_worker.check_queue(queue);
    for k in select * from media_worker.work_kinds as w where w.queue = retry_failed.queue loop
        execute format($sql$
            update %1$s as t set status = 'pending' where t.id in (
                select s.id from %1$s as s where s.status = 'failed' order by s.id for no key update)
        $sql$, k.work_table);
        get diagnostics touched = row_count;
        total := total + touched;
    end loop;
    return total;
end
$$;
comment on function public.retry_failed(text) is
    'Has all failed work of a queue done again, with attempts counted anew; returns the number of rows. 22023 for an unknown queue.';
