-- Outages of the team's own services: what needs one waits, and one row at a time probes it.

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
            parked = t.status = 'processing',
            service = case t.status when 'processing' then $5 else t.service end,
            next_attempt_at = case t.status when 'processing' then $3
                                            when 'pending' then t.next_attempt_at end,
            error_message = case t.status when 'processing' then $4
                                          when 'pending' then null else t.error_message end,
            attempts = case when t.status = 'pending' then 0 else greatest(t.attempts - 1, 0) end,
            claim = null, claimed_by = null, updated_at = clock_timestamp()
        where t.id = any ($2) and t.claim = $1
    $sql$, k.work_table) using token, ids, probe_at, message, service;
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
        where t.id = any ($1) and t.runnable and not (%s)
    $sql$, k.work_table, k.held_where) into services using ids;
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
            where t.id = any ($1) and t.runnable and not (%2$s)
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
    $sql$, k.work_table, k.held_where) using ids, probing;
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

create or replace function media_worker.probe_again(k media_worker.work_kinds, ids uuid[])
returns void
language plpgsql security definer set search_path = ''
as $$
declare
    services text[];
begin
    execute format('select array_agg(distinct t.service) from %s as t where t.id = any ($1)',
                   k.work_table) into services using ids;
    update media_worker.outages as o set next_probe_at = clock_timestamp()
    where o.service = any (services) and o.next_probe_at > clock_timestamp();
end
$$;
comment on function media_worker.probe_again(media_worker.work_kinds, uuid[]) is
    'These rows have ended without asking their services, so that nothing was learnt: the next row probes at once.';
