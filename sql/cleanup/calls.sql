-- cleanup: what people call.

create or replace function media_worker.queue_deletions(
    batch_size integer default 100, retry_failed boolean default false
) returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds := media_worker.kind('asset_cleanup');
    waiting uuid[];
    failed uuid[];
begin
    if batch_size is null or batch_size < 1 then
        raise exception 'batch_size must be at least 1, not %', coalesce(batch_size::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    execute format($sql$
        select array(select t.id from public.cloudinary_cleanup_queue as t
                     where t.runnable and not (%s) order by t.due_by, t.id limit $1)
    $sql$, k.held_where) into waiting using batch_size;
    perform media_worker.wake_forgotten(k, true);
    with retried as (
        update public.cloudinary_cleanup_queue as q set status = 'pending'
        where retry_failed and q.id in (
            select w.id from public.cloudinary_cleanup_queue as w where w.status = 'failed'
            order by w.completed_at, w.id limit batch_size - cardinality(waiting)
            for no key update skip locked)
        returning q.id
    )
    select array_agg(r.id) into failed from retried as r;
    return query select unnest(waiting || failed);
end
$$;
comment on function media_worker.queue_deletions(integer, boolean) is
    'What process_cleanup_queue() does; returns the rows'' ids.';

create or replace function public.process_cleanup_queue(
    batch_size integer default 100, retry_failed boolean default false
) returns integer
language sql security definer set search_path = ''
as $$ select count(*)::integer from media_worker.queue_deletions(batch_size, retry_failed) $$;
comment on function public.process_cleanup_queue(integer, boolean) is
    'Sees to it that up to batch_size deletions of assets that are due are in the queue; retry_failed: and failed ones are tried anew. What waits for DELETE_GRACE or release_deletions() goes on waiting. Returns their number. 22023 for a batch_size below 1.';

create or replace function public.get_cleanup_queue_stats()
returns table (pending bigint, processing bigint, completed bigint, failed bigint, held bigint,
               oldest_pending_at timestamptz)
language sql stable security definer set search_path = ''
as $$
    select count(*) filter (where q.status = 'pending'),
        count(*) filter (where q.status = 'processing'),
        count(*) filter (where q.status = 'completed'
                         and coalesce(q.error_message, '') not like 'cancelled:%'),
        count(*) filter (where q.status = 'failed'),
        (select h.held from media_worker.held_figures() as h where h.kind = 'asset_cleanup'),
        min(q.created_at) filter (where q.status = 'pending')
    from public.cloudinary_cleanup_queue as q
$$;
comment on function public.get_cleanup_queue_stats() is
    'The deletions of assets by status (completed: without pointless ones), those of the pending that are held back, and since when the oldest has waited. Completed ones are counted for WORK_RETENTION_DAYS.';
