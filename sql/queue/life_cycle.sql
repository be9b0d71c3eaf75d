-- The life of a work row: claim, finish, reschedule; and what is asked about it meanwhile.
-- Each writes in sets, and only where the row still carries the run's token. The ids stand in
-- each condition, not in a join: for that the planner reads the whole of a table that has just grown.

create or replace function media_worker.kind(name text) returns media_worker.work_kinds
language plpgsql stable set search_path = ''
as $$
declare
    found media_worker.work_kinds;
begin
    select * into found from media_worker.work_kinds as k where k.kind = name;
    if found.kind is null then
        raise exception 'unknown kind of work %', name using errcode = 'invalid_parameter_value';
    end if;
    return found;
end
$$;
comment on function media_worker.kind(text) is 'The kind of work of that name, or an error.';

create or replace function media_worker.claim(kind text, ids uuid[], worker uuid, token uuid)
returns table (id uuid, attempts integer, crashes integer, held boolean)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(claim.kind);
begin
    -- a pause that is being ended by an open transaction counts no more: resume_queue() may have
    -- looked at the queue already
    perform from media_worker.paused_queues as p
    where p.queue = k.queue and (p.until is null or p.until > clock_timestamp())
    for key share skip locked;
    if found then
        return;
    end if;
    if exists (select from media_worker.outages) then
        perform media_worker.park(k, ids);
    end if;
    if k.before_claim is not null then
        execute format('select media_worker.%I($1)', k.before_claim) using k;
    end if;
    return query execute format($sql$
        with candidate as (
            select t.id from %1$s as t
            where t.id = any ($1) and t.runnable and not (%2$s)
            order by t.id
            for no key update skip locked
        ), claimed as (
            update %1$s as t
            set status = 'processing', claim = $2, claimed_by = $3, attempts = t.attempts + 1,
                started_at = clock_timestamp(), completed_at = null, updated_at = clock_timestamp()
            from candidate where t.id = any ($1) and t.id = candidate.id
            returning t.id, t.attempts, t.crashes
        )
        select c.id, c.attempts, c.crashes, false from claimed as c
        union all
        -- with the token already: the answer to this very call was lost once
        select t.id, t.attempts, t.crashes, t.claim is null from %1$s as t
        where t.id = any ($1) and (t.runnable and not (%2$s) or t.claim = $2)
            and t.id not in (select c.id from claimed as c)
    $sql$, k.work_table, k.held_where) using ids, token, worker;
end
$$;
comment on function media_worker.claim(text, uuid[], uuid, uuid) is
    'Takes the runnable rows among the ids. Returns those taken, and as held those that somebody''s open transaction locks: they are to be tried again. Nothing while the queue is paused, and none of those that the kind holds back. May be repeated with the same token.';

create or replace function media_worker.finish(
    kind text, token uuid, ids uuid[], status text, messages text[], reached_service boolean default false
) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(finish.kind);
    touched integer;
begin
    if exists (select from media_worker.outages) then
        if reached_service then
            perform media_worker.end_outages_of(k, ids);
        else
            perform media_worker.probe_again(k, ids);
        end if;
    end if;
    -- asked again during the run: the row is pending already, and becomes runnable anew
    execute format($sql$
        update %s as t
        set status = case when t.status = 'processing' then $3 else t.status end,
            error_message = case t.status when 'processing' then $4[array_position($2, t.id)]
                                          when 'pending' then null else t.error_message end,
            completed_at = case t.status when 'processing' then clock_timestamp()
                                         when 'pending' then null else t.completed_at end,
            attempts = case when t.status = 'pending' then 0 else t.attempts end,
            next_attempt_at = case when t.status = 'pending' then t.next_attempt_at end,
            claim = null, claimed_by = null, crashes = 0, crashes_alone = 0, parked = false,
            updated_at = clock_timestamp()
        where t.id = any ($2) and t.claim = $1
    $sql$, k.work_table) using token, ids, status, messages;
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.finish(text, uuid, uuid[], text, text[], boolean) is
    'Ends claimed rows, completed or failed, with a message each (null: none). A row that was asked for again during the run becomes runnable instead. Returns how many still carried the token. reached_service: the service works, so its outage is over.';

create or replace function media_worker.reschedule(
    kind text, token uuid, ids uuid[], delays double precision[], messages text[], counted boolean
) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(reschedule.kind);
    touched integer;
begin
    execute format($sql$
        update %s as t
        set status = case when t.status = 'processing' then 'pending' else t.status end,
            next_attempt_at = case t.status
                when 'processing' then clock_timestamp()
                    + make_interval(secs => $3[array_position($2, t.id)])
                when 'pending' then t.next_attempt_at end,
            error_message = case t.status
                when 'processing' then coalesce($4[array_position($2, t.id)], t.error_message)
                when 'pending' then null else t.error_message end,
            attempts = case when t.status = 'pending' then 0
                when $5 then t.attempts else greatest(t.attempts - 1, 0) end,
            claim = null, claimed_by = null, parked = false, updated_at = clock_timestamp()
        where t.id = any ($2) and t.claim = $1
    $sql$, k.work_table) using token, ids, delays, messages, counted;
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.reschedule(text, uuid, uuid[], double precision[], text[], boolean) is
    'Gives claimed rows back, to be tried again after a delay in seconds each (null: at once); counted: the try counts. A row that was asked for again during the run becomes runnable at once.';

create or replace function media_worker.holds(kind text, id uuid, token uuid) returns boolean
language plpgsql stable security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds := media_worker.kind(holds.kind);
    held boolean;
begin
    execute format($sql$
        select exists (
            select from %s as t join media_worker.workers as w on w.worker_id = t.claimed_by
            where t.id = $1 and t.claim = $2 and media_worker.is_alive(w))
    $sql$, k.work_table) into held using id, token;
    return held;
end
$$;
comment on function media_worker.holds(text, uuid, uuid) is
    'Whether the run with this token still has the row. Asked right before a write that storage cannot fence.';

create or replace function media_worker.died_alone(kind text, token uuid, id uuid) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(died_alone.kind);
    deaths record;
begin
    execute format($sql$
        update %s as t
        set crashes = t.crashes + 1, crashes_alone = t.crashes_alone + 1,
            updated_at = clock_timestamp()
        where t.id = $1 and t.claim = $2 returning t.crashes, t.crashes_alone as alone
    $sql$, k.work_table) into deaths using id, token;
    perform media_worker.lose_objects(token);
    if deaths.alone >= 3 then
        return true;
    end if;
    perform media_worker.reschedule(kind, token, array[id],
        array[extract(epoch from media_worker.after_crashes(deaths.crashes))::double precision],
        array['its process died: see the worker''s log'], false);
    return false;
end
$$;
comment on function media_worker.died_alone(text, uuid, uuid) is
    'The process that ran this row alone died under a living worker: the row is tried again later. True when that was once too often: the row is still claimed then, and is to be failed.';

create or replace function media_worker.wake_held(kind text, ids uuid[]) returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds := media_worker.kind(wake_held.kind);
    free uuid[];
    due_bys timestamptz[];
begin
    if media_worker.is_paused(k.queue) then
        return;
    end if;
    execute format($sql$
        select array_agg(f.id), array_agg(f.due_by) from (
            select t.id, t.due_by from %s as t where t.id = any ($1) and t.runnable
            order by t.id for no key update skip locked) as f
    $sql$, k.work_table) into free, due_bys using ids;
    if free is not null then
        perform media_worker.wake(k.queue, k.task, free, due_bys, k.ids_per_job);
    end if;
    return query execute format($sql$
        select t.id from %s as t
        where t.id = any ($1) and t.runnable and not (t.id = any ($2))
    $sql$, k.work_table) using ids, coalesce(free, '{}');
end
$$;
comment on function media_worker.wake_held(text, uuid[]) is
    'Queues those of the runnable rows that no open transaction holds any more; returns the others.';

create or replace function media_worker.requeue(kind text, ids uuid[]) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds := media_worker.kind(requeue.kind);
    waiting uuid[];
    due_bys timestamptz[];
begin
    execute format('select array_agg(t.id), array_agg(t.due_by) from %s as t
                    where t.id = any ($1) and t.runnable', k.work_table)
    into waiting, due_bys using ids;
    if waiting is not null then
        perform media_worker.wake(k.queue, k.task, waiting, due_bys, k.ids_per_job);
    end if;
end
$$;
comment on function media_worker.requeue(text, uuid[]) is
    'Queues those of the rows that are runnable, held by somebody or not: a worker stops that had taken their job.';

create or replace function media_worker.count_runnable(kinds text[]) returns bigint
language plpgsql stable security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
    number bigint;
    total bigint := 0;
begin
    for k in select * from media_worker.work_kinds as w where w.kind = any (kinds) loop
        if not media_worker.is_paused(k.queue) then
            execute format('select count(*) from %s as t where t.runnable and not (%s)',
                           k.work_table, k.held_where) into number;
            total := total + number;
        end if;
    end loop;
    return total;
end
$$;
comment on function media_worker.count_runnable(text[]) is
    'Rows of these kinds that could run now; those of paused queues, and what is held back, are not counted.';
