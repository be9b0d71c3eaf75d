-- cleanup: deletion of objects in the team's storage.

create or replace function media_worker.storage_cleanup_begin(ids uuid[], token uuid, worker uuid)
returns table (id uuid, bucket text, object_key text, verdict text, uncertain boolean)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    perform from media_worker.objects as o
    join public.storage_cleanup_queue as q on o.service = q.service and o.bucket = q.bucket
        and o.object_key = q.object_key
    where q.id = any (ids) and q.claim = token
    order by o.id
    for no key update of o;
    return query
    with asked as (
        select q.id, q.bucket, q.object_key, q.service, q.reason
        from public.storage_cleanup_queue as q
        where q.id = any (ids) and q.claim = token
    ), judged as (
        select a.*, o.id as object_id, coalesce(o.state <> 'live', false) as uncertain,
            case when o.id is null then 'not ours'
                when not o.doomed then 'wanted again'
                when a.reason = 'hard_delete'
                    and media_worker.key_is_owned(o.owner_table, o.owner_id, a.object_key)
                    then 'owned again'
                when o.claim is not null and o.claim <> token and exists (
                    select from media_worker.workers as w
                    where w.worker_id = o.claimed_by and media_worker.is_alive(w)) then 'busy'
                else 'delete' end as verdict
        from asked as a
        left join media_worker.objects as o on o.service = a.service
            and o.bucket = a.bucket and o.object_key = a.object_key
    ), taken as (
        update media_worker.objects as o
        set claim = case when j.verdict = 'delete' then token else o.claim end,
            claimed_by = case when j.verdict = 'delete' then worker else o.claimed_by end,
            -- taken over from a dead run, of which a request may still be under way
            recheck_at = case when j.verdict = 'delete' and o.claim <> token
                then greatest(o.recheck_at, media_worker.recheck_time()) else o.recheck_at end,
            doomed = o.doomed and j.verdict <> 'owned again', updated_at = clock_timestamp()
        from judged as j where o.id = j.object_id and j.verdict in ('delete', 'owned again')
        returning o.id
    )
    select j.id, j.bucket, j.object_key, j.verdict, j.uncertain from judged as j
    where (select count(*) from taken) >= 0;
end
$$;
comment on function media_worker.storage_cleanup_begin(uuid[], uuid, uuid) is
    'Judges claimed deletions right before they are carried out, and claims the objects of those that are: delete; owned again (the track exists again); wanted again (uploaded anew); not ours (no object of ours); busy (an upload to the key runs).';

create or replace function media_worker.key_is_owned(owner_table text, owner_id text, object_key text)
returns boolean
language plpgsql stable security definer set search_path = ''
as $$
begin
    return owner_table = 'tracks' and exists (
        select from public.tracks as t
        where t.id = key_is_owned.owner_id::uuid
            and starts_with(key_is_owned.object_key,
                            coalesce(t.user_id::text, 'no-user') || '/' || t.id || '.'));
end
$$;
comment on function media_worker.key_is_owned(text, text, text) is
    'Whether a track that exists has this key: it was deleted and inserted anew.';

create or replace function media_worker.storage_cleanup_end(ids uuid[], token uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    select media_worker.forget_objects(array(
        select o.id from media_worker.objects as o
        join public.storage_cleanup_queue as q on o.service = q.service and o.bucket = q.bucket
            and o.object_key = q.object_key
        where q.id = any (ids) and o.claim = token))
$$;
comment on function media_worker.storage_cleanup_end(uuid[], uuid) is
    'The objects of these deletions are gone: the ledger forgets them, but for those that a lost run may yet bring back.';

create or replace function media_worker.storage_cleanup_release(ids uuid[], token uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.objects as o
    set claim = null, claimed_by = null, updated_at = clock_timestamp()
    from public.storage_cleanup_queue as q
    where q.id = any (ids) and o.service = q.service and o.bucket = q.bucket
        and o.object_key = q.object_key and o.claim = token
$$;
comment on function media_worker.storage_cleanup_release(uuid[], uuid) is
    'These deletions were not carried out: the objects'' claims are given back.';
