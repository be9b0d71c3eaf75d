-- sync: what people and programs read of the library.

create or replace function public.get_media_statistics()
returns table (total_assets bigint, images bigint, videos bigint, raw_files bigint,
               total_bytes bigint, pending bigint, errors bigint, synced bigint,
               success_rate numeric, avg_processing_ms numeric)
language sql stable security definer set search_path = ''
as $$
    select coalesce(sum(c.number) filter (where c.minute = '-infinity'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'image'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'video'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'raw'), 0)::bigint,
        coalesce(sum(c.bytes), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'pending'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'error' and c.minute = '-infinity'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'synced'), 0)::bigint,
        round(100.0 * sum(c.number) filter (where c.minute > '-infinity' and c.sync_status = 'success')
            / nullif(sum(c.number) filter (where c.minute > '-infinity'
                                           and c.sync_status in ('success', 'error')), 0), 2),
        round(sum(c.milliseconds)::numeric / nullif(sum(c.timed), 0), 1)
    from media_worker.media_counts as c
    where c.minute = '-infinity' or c.minute > clock_timestamp() - interval '1 day'
$$;
comment on function public.get_media_statistics() is
    'The library in numbers: live assets by type and by how far they are synced, their bytes; of the last 24 hours the percentage of operations that succeeded, of those that succeeded or failed, and how long they took on average. Kept up to date by triggers: cheap at any size.';

create or replace function media_worker.fold_media_counts() returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    folded integer;
begin
    if not media_worker.lead('sync.counts') then
        return 0;
    end if;
    with old as (
        delete from media_worker.media_counts as c
        where c.id in (select x.id from media_worker.media_counts as x
                       order by x.id limit 100000 for update skip locked)
        returning c.*
    ), kept as (
        insert into media_worker.media_counts
            (minute, resource_type, sync_status, number, bytes, milliseconds, timed)
        select o.minute, o.resource_type, o.sync_status, sum(o.number), sum(o.bytes),
            sum(o.milliseconds), sum(o.timed)
        from old as o
        where o.minute = '-infinity' or o.minute > clock_timestamp() - interval '1 day'
        group by 1, 2, 3 having sum(o.number) <> 0 or sum(o.bytes) <> 0
        returning 1
    )
    select (select count(*) from old) - (select count(*) from kept) into folded;
    return folded;
end
$$;
comment on function media_worker.fold_media_counts() is
    'Adds up the differences that triggers have written; returns how many rows that saved.';

create or replace function media_worker.tg_media_sync_log__count() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into media_worker.media_counts (minute, sync_status, number, milliseconds, timed)
    select date_trunc('minute', n.created_at), n.status, count(*),
        coalesce(sum(n.processing_time_ms), 0), count(n.processing_time_ms)
    from new_rows as n group by 1, 2;
    return null;
end
$$;
comment on function media_worker.tg_media_sync_log__count() is
    'Counts operations for get_media_statistics().';
create or replace trigger zz_media_worker_count after insert on public.media_sync_log
referencing new table as new_rows
for each statement execute function media_worker.tg_media_sync_log__count();

create or replace function public.cleanup_old_sync_logs(retention_days integer default 30)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
    deleted bigint;
begin
    if retention_days is null or retention_days < 0 then
        raise exception 'retention_days is %', coalesce(retention_days::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Give a number of days, 0 or more.';
    end if;
    delete from public.media_sync_log as l
    where l.created_at < clock_timestamp() - make_interval(days => retention_days);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
comment on function public.cleanup_old_sync_logs(integer) is
    'Deletes lines of media_sync_log older than that many days; returns how many. Runs daily by itself, with WORK_RETENTION_DAYS.';

create or replace function media_worker.sync_forget(days integer) returns bigint
language sql security definer set search_path = ''
as $$
    select case when media_worker.take_turn('forget the sync log', interval '1 day')
        then public.cleanup_old_sync_logs(days) + media_worker.forget_deleted_assets(days) else 0 end
$$;
comment on function media_worker.sync_forget(integer) is
    'The daily cleanup of what sync remembers; returns how many rows are gone.';

create or replace function media_worker.sync_figures()
returns table (last_full_sync_at timestamptz, last_full_sync_status text, running bigint,
               pending bigint, errors bigint, lag interval)
language sql stable security definer set search_path = ''
as $$
    select f.completed_at, f.status,
        (select count(*) from public.media_sync_runs as r where r.status = 'processing'),
        s.pending, s.errors,
        coalesce(clock_timestamp() - (select min(o.since) from (
            select min(p.changed_at) as since from media_worker.asset_pushes as p
            where p.status in ('pending', 'processing')
            union all
            select min(e.created_at) from public.media_webhook_events as e
            where e.status in ('pending', 'processing')) as o), interval '0')
    from public.get_media_statistics() as s
    left join (
        select r.completed_at, r.status from public.media_sync_runs as r
        where r.single_asset is null and r.status in ('completed', 'failed')
        order by r.completed_at desc limit 1) as f on true
$$;
comment on function media_worker.sync_figures() is 'The figures of the view media_sync_status.';

create or replace view public.media_sync_status with (security_invoker = true) as
select * from media_worker.sync_figures();
comment on view public.media_sync_status is
    'How far media_assets and the Cloudinary account are the same: the last full sync that ended, the runs under way, rows that are pending or in error, and since how long the oldest change waits.';
