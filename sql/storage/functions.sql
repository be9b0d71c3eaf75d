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
    set claim = excluded.claim, claimed_by = excluded.claimed_by, doomed = false,
        owner_table = excluded.owner_table, owner_id = excluded.owner_id, role = excluded.role,
        state = case when o.state = 'intent' then 'intent' else 'suspect' end,
        recheck_at = case when o.claim is not null then media_worker.recheck_time() else o.recheck_at end,
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
    set state = 'live', claim = null, claimed_by = null, source_hash = confirm_object.source_hash,
        bytes = confirm_object.bytes, sha256 = confirm_object.sha256, etag = confirm_object.etag,
        content_type = confirm_object.content_type, updated_at = clock_timestamp()
    where o.service = confirm_object.service and o.bucket = confirm_object.bucket
        and o.object_key = confirm_object.object_key and o.claim = token;
    return found;
end
$$;
comment on function media_worker.confirm_object(text, text, text, uuid, text, bigint, text, text, text) is
    'The object is there and verified. False: another run has taken the key over.';

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
            else least(o.recheck_at, clock_timestamp() + interval '5 minutes') end,
        updated_at = clock_timestamp()
    where o.service = abandon_object.service and o.bucket = abandon_object.bucket
        and o.object_key = abandon_object.object_key and o.claim = token;
end
$$;
comment on function media_worker.abandon_object(text, text, text, uuid, boolean) is
    'An upload was given up. untouched: nothing of it can have become visible; else the object is looked at again.';

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
    )
    insert into public.storage_cleanup_queue
        (bucket, object_key, source_table, source_id, reason, service)
    select m.bucket, m.object_key, m.owner_table, m.owner_id, doom_objects.reason, m.service
    from marked as m;
    get diagnostics queued = row_count;
    return queued;
end
$$;
comment on function media_worker.doom_objects(text, text[], text, text[], text[]) is
    'Queues the deletion of the owners'' objects, once each: all, or those of some roles that have another key. Returns the number queued.';
