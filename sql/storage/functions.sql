-- The ledger of objects: who writes or deletes an object claims its row first.

create or replace function media_worker.reserve_object(
    service text, bucket text, object_key text, owner_table text, owner_id text, role text,
    source_hash text, token uuid, worker uuid
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    found_row media_worker.objects;
begin
    insert into media_worker.objects as o
        (service, bucket, object_key, owner_table, owner_id, role, source_hash, claim, claimed_by)
    values (service, bucket, object_key, owner_table, owner_id, role, source_hash, token, worker)
    on conflict on constraint objects_one_row_per_key do update
    set claim = excluded.claim, claimed_by = excluded.claimed_by,
        owner_table = excluded.owner_table, owner_id = excluded.owner_id, role = excluded.role,
        state = case when o.state = 'intent' then 'intent' else 'suspect' end,
        recheck_at = case when o.claim <> excluded.claim
            then greatest(o.recheck_at, media_worker.recheck_time()) else o.recheck_at end,
        updated_at = clock_timestamp()
    where o.claim is null or o.claim = excluded.claim
        or not exists (select from media_worker.workers as w
                       where w.worker_id = o.claimed_by and media_worker.is_alive(w))
    returning * into found_row;
    return case when found_row.id is null then 'busy'
                when found_row.created_at = found_row.updated_at then 'new'
                else 'again' end;
end
$$;
comment on function media_worker.reserve_object(text, text, text, text, text, text, text, uuid, uuid) is
    'Claims the key for an upload. new: never written; again: something may be there, or be on its way; busy: another living run has it. A claim taken over from a dead worker is looked at again later.';

create or replace function media_worker.recheck_time() returns timestamptz
language sql volatile set search_path = ''
as $$ select clock_timestamp() + interval '65 minutes' $$;
comment on function media_worker.recheck_time() is
    'When nothing that a lost run had begun can still be under way: an upload request lives an hour at most.';

create or replace function media_worker.confirm_object(
    service text, bucket text, object_key text, token uuid, source_hash text,
    bytes bigint, sha256 text, etag text, content_type text
) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    update media_worker.objects as o
    set state = 'live', claim = null, claimed_by = null, doomed = false,
        source_hash = confirm_object.source_hash,
        bytes = confirm_object.bytes, sha256 = confirm_object.sha256, etag = confirm_object.etag,
        content_type = confirm_object.content_type, updated_at = clock_timestamp()
    where o.service = confirm_object.service and o.bucket = confirm_object.bucket
        and o.object_key = confirm_object.object_key and o.claim = token;
    return found;
end
$$;
comment on function media_worker.confirm_object(text, text, text, uuid, text, bigint, text, text, text) is
    'The object is there and verified, and wanted: a deletion that was queued before is dropped. False: another run has taken the key over.';

create or replace function media_worker.abandon_object(
    service text, bucket text, object_key text, token uuid, untouched boolean
) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    delete from media_worker.objects as o
    where untouched and o.state = 'intent' and o.recheck_at is null
        and o.service = abandon_object.service and o.bucket = abandon_object.bucket
        and o.object_key = abandon_object.object_key and o.claim = token;
    update media_worker.objects as o
    set claim = null, claimed_by = null,
        state = case when untouched and o.state = 'suspect' and o.recheck_at is null then 'live'
            else o.state end,
        recheck_at = case when untouched then o.recheck_at
            else greatest(o.recheck_at, clock_timestamp() + interval '5 minutes') end,
        updated_at = clock_timestamp()
    where o.service = abandon_object.service and o.bucket = abandon_object.bucket
        and o.object_key = abandon_object.object_key and o.claim = token;
end
$$;
comment on function media_worker.abandon_object(text, text, text, uuid, boolean) is
    'An upload was given up. untouched: nothing of it can have become visible; else the object is looked at again.';

create or replace function media_worker.forget_object(
    service text, bucket text, object_key text, token uuid
) returns boolean
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    select media_worker.forget_objects(array(
        select o.id from media_worker.objects as o
        where o.service = forget_object.service and o.bucket = forget_object.bucket
            and o.object_key = forget_object.object_key and o.claim = token)) = 1
$$;
comment on function media_worker.forget_object(text, text, text, uuid) is
    'The run with this claim has deleted the object. False: another run has taken the key over.';

create or replace function media_worker.forget_objects(ids bigint[]) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    forgotten integer;
    emptied integer;
begin
    delete from media_worker.objects as o where o.id = any (ids) and o.recheck_at is null;
    get diagnostics forgotten = row_count;
    update media_worker.objects as o
    set state = 'intent', doomed = false, claim = null, claimed_by = null, source_hash = null,
        bytes = null, sha256 = null, etag = null, content_type = null,
        updated_at = clock_timestamp()
    where o.id = any (ids);
    get diagnostics emptied = row_count;
    return forgotten + emptied;
end
$$;
comment on function media_worker.forget_objects(bigint[]) is
    'Objects that were deleted: the ledger forgets them, but for those that a lost run may yet bring back. Returns their number.';

create or replace function media_worker.lose_objects(token uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.objects as o
    set claim = null, claimed_by = null,
        recheck_at = greatest(o.recheck_at, media_worker.recheck_time()),
        updated_at = clock_timestamp()
    where o.claim = token
$$;
comment on function media_worker.lose_objects(uuid) is
    'The run with this token died while its worker lives on: its claims are free, and what it had under way is looked at later.';

create or replace function media_worker.doom_objects(
    owner_table text, owner_ids text[], reason text, except_keys text[] default '{}',
    roles text[] default null
) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    queued integer;
begin
    with doomed as (
        select o.id from media_worker.objects as o
        where o.owner_table = doom_objects.owner_table and o.owner_id = any (owner_ids)
            and not o.doomed and not (o.object_key = any (except_keys))
            and (roles is null or o.role = any (roles)) and o.service = 'storage'
        order by o.id
        for no key update
    ), marked as (
        update media_worker.objects as o set doomed = true, updated_at = clock_timestamp()
        from doomed where o.id = doomed.id
        returning o.bucket, o.object_key, o.owner_table, o.owner_id, o.service
    ), here as materialized (
        select media_worker.this_database() as name,
            case when doom_objects.reason = 'hard_delete' then media_worker.after_grace() end as due
    )
    insert into public.storage_cleanup_queue
        (bucket, object_key, source_table, source_id, reason, service, database, next_attempt_at)
    select m.bucket, m.object_key, m.owner_table, m.owner_id, doom_objects.reason, m.service,
        here.name, here.due
    from marked as m cross join here;
    get diagnostics queued = row_count;
    return queued;
end
$$;
comment on function media_worker.doom_objects(text, text[], text, text[], text[]) is
    'Queues the deletion of the owners'' objects, once each: all, or those of some roles that have another key. Returns the number queued.';

-- A second look at what a lost run may have touched. Like every other effect it takes a claim.

create or replace function media_worker.begin_recheck(token uuid, worker uuid, services text[])
returns table (id bigint, service text, bucket text, object_key text, bytes bigint, etag text, state text)
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    with due as (
        select o.id from media_worker.objects as o
        where o.service = any (services)
            and (o.recheck_at <= clock_timestamp()
                 or (o.claim is not null and o.updated_at <= clock_timestamp() - interval '65 minutes'))
            and (o.claim is null or not exists (
                select from media_worker.workers as w
                where w.worker_id = o.claimed_by and media_worker.is_alive(w)))
        order by o.recheck_at limit 1
        for no key update skip locked
    )
    update media_worker.objects as o
    set claim = token, claimed_by = worker,
        recheck_at = coalesce(o.recheck_at, clock_timestamp()), updated_at = clock_timestamp()
    from due where o.id = due.id
    returning o.id, o.service, o.bucket, o.object_key, o.bytes, o.etag, o.state
$$;
comment on function media_worker.begin_recheck(uuid, uuid, text[]) is
    'Claims an object on one of these services that a lost run may have touched, once nothing of that run can be under way any more; no row when there is none.';

create or replace function media_worker.end_recheck(object_id bigint, token uuid, seen text)
returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    o media_worker.objects;
begin
    update media_worker.objects as x
    set claim = null, claimed_by = null, updated_at = clock_timestamp(),
        recheck_at = case when seen = 'unknown' then clock_timestamp() + interval '1 minute' end,
        state = case when seen = 'same' then 'live' when seen = 'other' then 'intent' else x.state end
    where x.id = object_id and x.claim = token
    returning * into o;
    if o.id is null then
        return 'taken over';
    elsif seen = 'unknown' then
        return 'put off';
    elsif seen = 'same' then
        return 'verified';
    elsif o.doomed then
        return 'waits for its deletion';
    elsif seen = 'absent' then
        delete from media_worker.objects as x where x.id = o.id;
    end if;
    return case o.owner_table
        when 'tracks' then media_worker.archive_mend(o, seen = 'other')
        when 'audio_tracks' then media_worker.cdn_mend(o, seen = 'other')
        else 'left as it is' end;
end
$$;
comment on function media_worker.end_recheck(bigint, uuid, text) is
    'What the look has shown: same (as the ledger says), other (bytes), absent, or unknown (the storage does not answer). What counts on the object is stored again; an object that nothing counts on is deleted.';
