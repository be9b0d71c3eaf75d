-- Wake-ups follow state: what has just become runnable is queued in the same transaction.

create or replace function media_worker.wake_rows(work_table oid, ids uuid[], due_bys timestamptz[])
returns void
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
begin
    if ids is null then
        return;
    end if;
    select * into k from media_worker.work_kinds as w where w.work_table::oid = wake_rows.work_table;
    perform media_worker.wake(k.queue, k.task, ids, due_bys, k.ids_per_job);
exception when others then
    -- the application's write must not fail because of the queue: the reconciler wakes the rows
    raise warning 'media_worker: queueing % rows failed: %', cardinality(ids), sqlerrm;
end
$$;
comment on function media_worker.wake_rows(oid, uuid[], timestamptz[]) is
    'Queues rows of a work table; a failure is a warning, since the reconciler makes up for it.';

create or replace function media_worker.tg_work_rows__after_insert() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    ids uuid[];
    due_bys timestamptz[];
begin
    select array_agg(n.id), array_agg(n.due_by) into ids, due_bys from new_rows as n where n.runnable;
    perform media_worker.wake_rows(tg_relid, ids, due_bys);
    return null;
end
$$;
comment on function media_worker.tg_work_rows__after_insert() is 'Queues inserted rows that are runnable.';

create or replace function media_worker.tg_work_rows__after_update() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    ids uuid[];
    due_bys timestamptz[];
begin
    select array_agg(woken.id), array_agg(woken.due_by) into ids, due_bys
    from (
        select n.id, n.due_by from new_rows as n where n.runnable
        except
        select o.id, o.due_by from old_rows as o where o.runnable
    ) as woken;
    perform media_worker.wake_rows(tg_relid, ids, due_bys);
    return null;
end
$$;
comment on function media_worker.tg_work_rows__after_update() is
    'Queues rows that have become runnable, or have become due at another time.';

create or replace function media_worker.tg_work_row__before_update() returns trigger
language plpgsql set search_path = ''
as $$
begin
    new.updated_at := clock_timestamp();
    if new.status = 'processing' and new.claim is null then
        raise exception 'status processing is set by workers only'
            using hint = 'Set it to pending to have the work done.';
    elsif new.status = 'pending' and old.status in ('completed', 'failed') then
        new.attempts := 0;
        new.crashes := 0;
        new.parked := false;
        new.error_message := null;
        new.started_at := null;
        new.completed_at := null;
        if new.next_attempt_at is not distinct from old.next_attempt_at then
            new.next_attempt_at := null;
        end if;
    elsif new.status in ('completed', 'failed') and old.status not in ('completed', 'failed') then
        new.completed_at := clock_timestamp();
    end if;
    return new;
end
$$;
comment on function media_worker.tg_work_row__before_update() is
    'What anybody''s UPDATE of a status means: pending again starts anew. Not for the kernel''s own statements, which set updated_at.';

create or replace function media_worker.attach_work_table(work_table regclass) returns void
language plpgsql set search_path = ''
as $$
begin
    execute format($sql$
        create or replace trigger zz_media_worker_work_row before update on %s
        for each row
        when (new.updated_at is not distinct from old.updated_at)
        execute function media_worker.tg_work_row__before_update()
    $sql$, work_table);
    execute format($sql$
        create or replace trigger zz_media_worker_wake_insert after insert on %s
        referencing new table as new_rows
        for each statement execute function media_worker.tg_work_rows__after_insert()
    $sql$, work_table);
    execute format($sql$
        create or replace trigger zz_media_worker_wake_update after update on %s
        referencing old table as old_rows new table as new_rows
        for each statement execute function media_worker.tg_work_rows__after_update()
    $sql$, work_table);
end
$$;
comment on function media_worker.attach_work_table(regclass) is
    'Gives a work table the kernel''s triggers. With a row in media_worker.work_kinds that is all a new capability needs.';
