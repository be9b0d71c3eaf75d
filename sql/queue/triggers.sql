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
    if new.status = old.status then
        return new;
    elsif new.status = 'processing' and new.claim is null then
        raise exception 'status processing is set by workers only'
            using errcode = 'invalid_parameter_value',
                  hint = 'Set it to pending to have the work done.';
    elsif new.status in ('completed', 'failed') then
        new.completed_at := clock_timestamp();
        new.next_attempt_at := null;
        new.parked := false;
    elsif old.status in ('completed', 'failed') then
        new.attempts := 0;
        new.crashes := 0;
        new.crashes_alone := 0;
        new.parked := false;
        new.error_message := null;
        new.started_at := case when new.claim is not null then new.started_at end;
        new.completed_at := null;
    end if;
    return new;
end
$$;
comment on function media_worker.tg_work_row__before_update() is
    'What anybody''s UPDATE of a status means: pending again starts anew.';

create or replace function media_worker.tg_work_row__asked_again() returns trigger
language plpgsql set search_path = ''
as $$
begin
    new.next_attempt_at := null;
    new.attempts := 0;
    new.parked := false;
    new.error_message := null;
    return new;
end
$$;
comment on function media_worker.tg_work_row__asked_again() is
    'SET status = ''pending'' on a row that waits for its next try: it is tried now.';

create or replace function media_worker.attach_work_table(work_table regclass) returns void
language plpgsql set search_path = ''
as $$
begin
    -- the kernel's own life cycle always changes the claim; it is spared the call
    execute format($sql$
        create or replace trigger zz_media_worker_work_row before update on %s
        for each row
        when (new.claim is not distinct from old.claim
            and (new.status <> old.status or new.updated_at = old.updated_at))
        execute function media_worker.tg_work_row__before_update()
    $sql$, work_table);
    execute format($sql$
        create or replace trigger zz_media_worker_asked_again before update of status on %s
        for each row
        when (old.status = 'pending' and new.status = 'pending'
            and old.claim is null and new.claim is null
            and new.next_attempt_at = old.next_attempt_at)
        execute function media_worker.tg_work_row__asked_again()
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
