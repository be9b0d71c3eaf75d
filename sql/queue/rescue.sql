-- Rescue: rows whose run is lost, because its worker died or knows nothing of it any more.

create or replace function media_worker.rescue(worker uuid default null) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    freed integer;
begin
    -- who was away himself learns first, from his next heartbeat, that the others were away too
    if not media_worker.lead('rescue') or exists (
            select from media_worker.workers as w
            where w.worker_id = rescue.worker and not media_worker.is_alive(w)) then
        return 0;
    end if;
    freed := media_worker.for_each_kind('rescue_kind');
    begin
        perform media_worker.return_lost_jobs(media_worker.lease());
    exception when others then
        raise warning 'media_worker: return of lost jobs failed: %', sqlerrm;
    end;
    delete from media_worker.workers as w
    where w.worker_id in (
        select old.worker_id from media_worker.workers as old
        where greatest(old.last_heartbeat_at, pg_postmaster_start_time()) < now() - interval '1 hour'
        for update skip locked);
    return freed;
end
$$;
comment on function media_worker.rescue(uuid) is
    'Frees what dead workers hold and returns the number of rows. The try does not count; it is remembered as a crash, and from the second one on the row waits before it is run again. worker: who calls; one whose own lease is over frees nothing.';

create or replace function media_worker.rescue_kind(k media_worker.work_kinds) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    stopped uuid[];
    crashed uuid[];
begin
    execute format($sql$
        with lost as (
            select t.id, coalesce(w.stopped_at is not null, false) as in_order
            from %s as t left join media_worker.workers as w on w.worker_id = t.claimed_by
            where t.claim is not null and (w.worker_id is null or not media_worker.is_alive(w))
            order by t.id limit 1000
            for no key update of t skip locked
        )
        select array_agg(l.id) filter (where l.in_order), array_agg(l.id) filter (where not l.in_order)
        from lost as l
    $sql$, k.work_table) into stopped, crashed;
    -- nobody but a worker can do what 'processing' says
    execute format($sql$
        update %1$s as t set status = 'pending', updated_at = clock_timestamp()
        where t.id in (
            select s.id from %1$s as s
            where s.status = 'processing' and s.claim is null
            limit 1000 for no key update skip locked)
    $sql$, k.work_table);
    return media_worker.free_claims(k, stopped, false) + media_worker.free_claims(k, crashed, true);
end
$$;
comment on function media_worker.rescue_kind(media_worker.work_kinds) is
    'Frees up to 1,000 rows of a kind that dead workers hold; returns their number.';

create or replace function media_worker.free_claims(
    k media_worker.work_kinds, ids uuid[], crashed boolean
) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    touched integer;
begin
    if ids is null then
        return 0;
    end if;
    execute format($sql$
        update %s as t
        set status = case when t.status = 'processing' then 'pending' else t.status end,
            attempts = case t.status when 'processing' then greatest(t.attempts - 1, 0)
                                     when 'pending' then 0 else t.attempts end,
            crashes = t.crashes + $2::integer,
            next_attempt_at = case t.status when 'pending' then t.next_attempt_at
                when 'processing' then case when $2
                    then clock_timestamp() + media_worker.after_crashes(t.crashes + 1) end end,
            claim = null, claimed_by = null, updated_at = clock_timestamp()
        where t.id = any ($1)
    $sql$, k.work_table) using ids, crashed;
    get diagnostics touched = row_count;
    return touched;
end
$$;
comment on function media_worker.free_claims(media_worker.work_kinds, uuid[], boolean) is
    'Gives rows back whose run is lost, as if they had not been tried; crashed: their process died, which is remembered. The caller has locked them. Returns their number.';

create or replace function media_worker.disown(worker uuid, tokens uuid[]) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    k media_worker.work_kinds;
    lost uuid[];
    total integer := 0;
begin
    for k in select * from media_worker.work_kinds order by kind loop
        begin
            execute format($sql$
                with stray as (
                    select t.id from %s as t
                    where t.claimed_by = $1 and t.claim is not null and t.claim <> all ($2)
                        and t.started_at < clock_timestamp() - media_worker.lease()
                    order by t.id
                    for no key update skip locked
                )
                select array_agg(s.id) from stray as s
            $sql$, k.work_table) into lost using worker, tokens;
            total := total + media_worker.free_claims(k, lost, false);
        exception when others then
            raise warning 'freeing stray claims of % failed: %', k.kind, sqlerrm;
        end;
    end loop;
    return total;
end
$$;
comment on function media_worker.disown(uuid, uuid[]) is
    'Frees rows that a living worker holds without knowing it: claims that are older than a lease and none of its tokens (an answer that never arrived, a result that could not be recorded). Returns their number.';

create or replace function media_worker.after_crashes(crashes integer) returns interval
language sql immutable set search_path = ''
as $$ select (array['10 s', '60 s', '300 s']::interval[])[least(crashes - 1, 3)] $$;
comment on function media_worker.after_crashes(integer) is
    'How long a row waits after so many crashes before it is run again: not at all (null) after the first, then ever longer.';
