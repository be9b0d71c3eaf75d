-- Background duties. Each takes a transaction-scoped advisory lock, so that of all workers one does
-- it at a time, also behind a transaction pooler; each kind on its own, so that one that fails
-- stops no other; each selects with SKIP LOCKED, so that it never waits for the application.

create or replace function media_worker.lead(duty text) returns boolean
language sql set search_path = ''
as $$ select pg_try_advisory_xact_lock(hashtext('media_worker'), hashtext(duty)) $$;
comment on function media_worker.lead(text) is
    'True for the one session that may do this duty until its transaction ends.';

create or replace function media_worker.for_each_kind(step text, kinds text[] default null)
returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
    touched integer;
    total integer := 0;
begin
    for k in select * from media_worker.work_kinds as w
             where kinds is null or w.kind = any (kinds) order by w.kind loop
        begin
            execute format('select media_worker.%I($1)', step) into touched using k;
            total := total + touched;
        exception when others then
            raise warning 'media_worker: % of % failed: %', step, k.kind, sqlerrm;
        end;
    end loop;
    return total;
end
$$;
comment on function media_worker.for_each_kind(text, text[]) is
    'Calls a function of ours for every kind of work (or these) and adds up what they return; one that fails is a warning and stops no other.';

create or replace function media_worker.promote(kinds text[] default null) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    if not media_worker.lead('promote') then
        return 0;
    end if;
    return media_worker.for_each_kind('promote_kind', kinds);
end
$$;
comment on function media_worker.promote(text[]) is
    'Makes runnable what has fallen due, what waited for a service that works again, and one row a service that is to be probed. Returns the number of rows.';

create or replace function media_worker.promote_kind(k media_worker.work_kinds) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    touched integer;
begin
    execute format($sql$
        with due as (
            select t.id from %1$s as t
            where t.status = 'pending' and t.claim is null
                and t.next_attempt_at <= now() and not t.parked
            order by t.next_attempt_at limit 5000
            for no key update skip locked
        ), recovered as (
            select t.id from %1$s as t
            where t.parked and t.status = 'pending' and t.claim is null
                and t.service <> all (array(select o.service from media_worker.outages as o))
            order by t.due_by, t.id limit 5000
            for no key update skip locked
        ), probe as (
            select t.id from media_worker.outages as o
            cross join lateral (
                select p.id from %1$s as p
                where p.status = 'pending' and p.claim is null
                    and p.parked and p.service = o.service
                order by p.due_by, p.id limit 1
                for no key update skip locked
            ) as t
            where o.next_probe_at <= clock_timestamp()
        )
        update %1$s as t
        set next_attempt_at = null, parked = false, updated_at = clock_timestamp()
        where t.id in (
            select due.id from due
            union all select recovered.id from recovered
            union all select probe.id from probe)
    $sql$, k.work_table);
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.promote_kind(media_worker.work_kinds) is
    'What promote() does for one kind.';

create or replace function media_worker.reconcile(kinds text[] default null) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    if not media_worker.lead('reconcile') then
        return 0;
    end if;
    delete from media_worker.paused_queues as p
    where p.queue in (select q.queue from media_worker.paused_queues as q
                      where q.until <= clock_timestamp() for update skip locked);
    return media_worker.for_each_kind('reconcile_kind', kinds);
end
$$;
comment on function media_worker.reconcile(text[]) is
    'Wakes runnable rows that no job names (restored backup, truncated queue, resumed queue) and returns their number. Also ends pauses whose time is over.';

create or replace function media_worker.reconcile_kind(k media_worker.work_kinds) returns integer
language sql security definer set search_path = ''
as $$
    select case when media_worker.is_paused(k.queue) then 0 else media_worker.wake_forgotten(k) end
$$;
comment on function media_worker.reconcile_kind(media_worker.work_kinds) is
    'What reconcile() does for one kind.';

create or replace function media_worker.wake_forgotten(
    k media_worker.work_kinds, resumed boolean default false
) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    ids uuid[];
    due_bys timestamptz[];
begin
    -- A job that was taken long ago and whose row is runnable all the same will not come back; nor
    -- will one that was taken during a pause. What an open transaction holds would only be held
    -- again; but whoever ends a pause leaves no lock behind.
    execute format($sql$
        with queued as materialized (
            select q.id from media_worker.queued_ids($1, false) as q(id)
        ), taken as materialized (
            select q.id from media_worker.queued_ids($1, true) as q(id) where not $2
        ), forgotten as (
            select t.id, t.due_by from %s as t
            where t.runnable and not (%s)
                and not exists (select from queued where queued.id = t.id)
                and (t.updated_at < clock_timestamp() - interval '2 minutes'
                     or not exists (select from taken where taken.id = t.id))
            order by t.due_by, t.id limit 10000 %s
        )
        select array_agg(f.id), array_agg(f.due_by) from forgotten as f
    $sql$, k.work_table, k.held_where,
        case when resumed then '' else 'for no key update of t skip locked' end)
    into ids, due_bys using k.task, resumed;
    if ids is null then
        return 0;
    end if;
    perform media_worker.wake(k.queue, k.task, ids, due_bys, k.ids_per_job);
    return cardinality(ids);
end
$$;
comment on function media_worker.wake_forgotten(media_worker.work_kinds, boolean) is
    'Queues up to 10,000 runnable rows of a kind that no job names; returns their number. resumed: a pause has just ended.';

create or replace function media_worker.forget_work(older_than interval) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds;
    touched integer;
    total integer := 0;
begin
    for k in select * from media_worker.work_kinds order by kind loop
        begin
            execute format($sql$
                delete from %1$s as t where t.id in (
                    select w.id from %1$s as w
                    where w.status in ('completed', 'failed') and w.claim is null
                        and w.completed_at < now() - $1 and not (%2$s)
                    limit 10000 for update skip locked)
            $sql$, k.work_table, k.keep_where) using older_than;
            get diagnostics touched = row_count;
            total := total + touched;
        exception when others then
            raise warning 'forgetting old work of % failed: %', k.kind, sqlerrm;
        end;
    end loop;
    return total;
end
$$;
comment on function media_worker.forget_work(interval) is
    'Deletes up to 10,000 rows a kind that ended longer ago than that; returns the number. Rows that a view still needs stay.';

create or replace function media_worker.take_turn(duty text, every interval, slot timestamptz default null)
returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    insert into media_worker.periodic_runs as p (name, last_run_at)
    values (duty, coalesce(slot, clock_timestamp()))
    on conflict (name) do update set last_run_at = excluded.last_run_at
    where case when slot is null then p.last_run_at <= clock_timestamp() - every
          else p.last_run_at < slot end;
    return found;
end
$$;
comment on function media_worker.take_turn(text, interval, timestamptz) is
    'True for the one worker that is to do a duty now: every so often, or once for a slot of time (the last 03:00, say), which is made up for when it was missed.';

create or replace function media_worker.last_daily_slot(at time) returns timestamptz
language sql stable set search_path = ''
as $$
    select slot - case when slot > now() then interval '1 day' else interval '0' end
    from (select ((now() at time zone 'UTC')::date + at) at time zone 'UTC' as slot) as today
$$;
comment on function media_worker.last_daily_slot(time) is
    'When it was last this time of day, in UTC.';
