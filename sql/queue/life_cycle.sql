-- The life of a work row: claim, finish, reschedule, release, wait for a service.
-- Each writes in sets, and only where the row still carries the run's token.

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
    if media_worker.is_paused(k.queue) then
        return;
    end if;
    if exists (select from media_worker.outages) then
        perform media_worker.park(k, ids);
    end if;
    return query execute format($sql$
        with candidate as (
            select t.id from %1$s as t
            where t.id = any ($1) and t.runnable
            order by t.id
            for no key update skip locked
        ), claimed as (
            update %1$s as t
            set status = 'processing', claim = $2, claimed_by = $3, attempts = t.attempts + 1,
                started_at = clock_timestamp(), completed_at = null, updated_at = clock_timestamp()
            from candidate where t.id = candidate.id
            returning t.id, t.attempts, t.crashes
        )
        select c.id, c.attempts, c.crashes, false from claimed as c
        union all
        select t.id, t.attempts, t.crashes, true from %1$s as t
        where t.id = any ($1) and t.runnable and t.id not in (select c.id from claimed as c)
    $sql$, k.work_table) using ids, token, worker;
end
$$;
comment on function media_worker.claim(text, uuid[], uuid, uuid) is
    'Takes the runnable rows among the ids. Returns those taken, and as held those that somebody''s open transaction locks: they are to be tried again. Nothing while the queue is paused.';

create or replace function media_worker.finish(
    kind text, token uuid, ids uuid[], status text, messages text[], reached_service boolean default false
) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(finish.kind);
    touched integer;
begin
    if reached_service and exists (select from media_worker.outages) then
        perform media_worker.end_outages_of(k, ids);
    end if;
    -- asked again during the run: the row is pending already, and becomes runnable anew
    execute format($sql$
        update %s as t
        set status = case when t.status = 'processing' then $3 else t.status end,
            error_message = case when t.status = 'processing' then given.message end,
            completed_at = case t.status when 'processing' then clock_timestamp()
                                         when 'pending' then null else t.completed_at end,
            attempts = case when t.status = 'pending' then 0 else t.attempts end,
            next_attempt_at = null, claim = null, claimed_by = null, crashes = 0, parked = false,
            updated_at = clock_timestamp()
        from unnest($2, $4) as given(id, message)
        where t.id = given.id and t.claim = $1
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
            next_attempt_at = case when t.status = 'processing'
                then clock_timestamp() + make_interval(secs => given.delay) end,
            error_message = case when t.status = 'processing'
                then coalesce(given.message, t.error_message) end,
            attempts = case when t.status = 'pending' then 0
                when $5 then t.attempts else greatest(t.attempts - 1, 0) end,
            claim = null, claimed_by = null, parked = false, updated_at = clock_timestamp()
        from unnest($2, $3, $4) as given(id, delay, message)
        where t.id = given.id and t.claim = $1
    $sql$, k.work_table) using token, ids, delays, messages, counted;
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.reschedule(text, uuid, uuid[], double precision[], text[], boolean) is
    'Gives claimed rows back, to be tried again after a delay in seconds each (null: at once); counted: the try counts. A row that was asked for again during the run becomes runnable at once.';

create or replace function media_worker.wait_for_service(
    kind text, token uuid, ids uuid[], service text, message text, probe_delays double precision[]
) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(wait_for_service.kind);
    probe_at timestamptz;
    touched integer;
begin
    insert into media_worker.outages as o (service, next_probe_at, message)
    values (wait_for_service.service,
            clock_timestamp() + make_interval(secs => media_worker.probe_delay(probe_delays, 0)),
            wait_for_service.message)
    on conflict on constraint outages_pkey do update
    set message = excluded.message,
        next_probe_at = clock_timestamp()
            + make_interval(secs => media_worker.probe_delay(probe_delays, o.probes))
    returning o.next_probe_at into probe_at;
    execute format($sql$
        update %s as t
        set status = case when t.status = 'processing' then 'pending' else t.status end,
            parked = true, next_attempt_at = $3, error_message = $4,
            attempts = greatest(t.attempts - 1, 0),
            claim = null, claimed_by = null, updated_at = clock_timestamp()
        where t.id = any ($2) and t.claim = $1
    $sql$, k.work_table) using token, ids, probe_at, message;
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.wait_for_service(text, uuid, uuid[], text, text, double precision[]) is
    'A service of the team''s own is out of order: claimed rows wait for it, and the try does not count. probe_delays: seconds to the first, second, … probe; never more than a minute.';

create or replace function media_worker.probe_delay(delays double precision[], probes integer)
returns double precision
language sql immutable set search_path = ''
as $$
    select least(60.0, delays[least(probes + 1, cardinality(delays))])
$$;
comment on function media_worker.probe_delay(double precision[], integer) is
    'Seconds until an outage is probed again after that many probes.';

create or replace function media_worker.park(k media_worker.work_kinds, ids uuid[]) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    services text[];
    probing text[];
begin
    execute format($sql$
        select array_agg(distinct t.service) from %s as t
        join media_worker.outages as o on o.service = t.service
        where t.id = any ($1) and t.runnable
    $sql$, k.work_table) into services using ids;
    if services is null then
        return;
    end if;
    with due as (
        update media_worker.outages as o
        set probes = o.probes + 1, next_probe_at = clock_timestamp() + interval '1 minute'
        where o.service = any (services) and o.next_probe_at <= clock_timestamp()
        returning o.service
    )
    select coalesce(array_agg(due.service), '{}') into probing from due;
    execute format($sql$
        with candidate as (
            select t.id, o.next_probe_at,
                t.service = any ($2)
                    and t.id = first_value(t.id) over (partition by t.service order by t.due_by, t.id)
                    as is_probe
            from %1$s as t join media_worker.outages as o on o.service = t.service
            where t.id = any ($1) and t.runnable
        ), free as (
            select t.id from %1$s as t
            where t.id in (select c.id from candidate as c where not c.is_probe)
            order by t.id
            for no key update skip locked
        )
        update %1$s as t
        set parked = true, next_attempt_at = c.next_probe_at, updated_at = clock_timestamp()
        from candidate as c
        where t.id = c.id and t.id in (select free.id from free) and t.runnable
    $sql$, k.work_table) using ids, probing;
end
$$;
comment on function media_worker.park(media_worker.work_kinds, uuid[]) is
    'Makes runnable rows wait whose service is out of order, but for one that probes it when a probe is due.';

create or replace function media_worker.end_outages_of(k media_worker.work_kinds, ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
declare
    services text[];
begin
    execute format('select array_agg(distinct t.service) from %s as t where t.id = any ($1)',
                   k.work_table) into services using ids;
    delete from media_worker.outages as o where o.service = any (services);
end
$$;
comment on function media_worker.end_outages_of(media_worker.work_kinds, uuid[]) is
    'The services of these rows have answered: their outages are over. media_worker.promote() wakes what waited.';

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

create or replace function media_worker.count_child_crash(
    kind text, token uuid, id uuid, limit_ integer default 3
) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds := media_worker.kind(count_child_crash.kind);
    crashes integer;
begin
    execute format($sql$
        update %s as t set crashes = t.crashes + 1, updated_at = clock_timestamp()
        where t.id = $1 and t.claim = $2 returning t.crashes
    $sql$, k.work_table) into crashes using id, token;
    return coalesce(crashes >= limit_, false);
end
$$;
comment on function media_worker.count_child_crash(text, uuid, uuid, integer) is
    'The process that ran this row alone died under a living worker; true when that was once too often.';

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
            execute format('select count(*) from %s as t where t.runnable', k.work_table) into number;
            total := total + number;
        end if;
    end loop;
    return total;
end
$$;
comment on function media_worker.count_runnable(text[]) is
    'Rows of these kinds that could run now; those of paused queues are not counted.';
