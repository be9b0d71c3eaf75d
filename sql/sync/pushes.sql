-- sync: what the application changed is made the same at Cloudinary.

create or replace function media_worker.push_load(ids uuid[], token uuid)
returns table (id uuid, asset uuid, gone boolean, mine jsonb, base jsonb, uploads boolean,
               changed_at timestamptz)
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
    select p.id, p.asset, a.id is null or a.deleted_at is not null,
        to_jsonb(a) || media_worker.asset_fields(to_jsonb(a)), m.base,
        coalesce(media_worker.awaits_upload(to_jsonb(a), m), false), p.changed_at
    from media_worker.asset_pushes as p
    left join public.media_assets as a on a.id = p.asset
    left join media_worker.mirrored_assets as m on m.id = p.asset
    where p.id = any (ids) and p.claim = token
$$;
comment on function media_worker.push_load(uuid[], uuid) is
    'The rows of claimed pushes as they are now, what they had in common with their assets last, and whether their source_url is still to be uploaded.';

create or replace function media_worker.push_uploaded(
    push uuid, token uuid, uploaded jsonb, source_url text, looked_at timestamptz, policy text
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    wanted uuid := (select p.asset from media_worker.asset_pushes as p
                    where p.id = push and p.claim = token);
    a public.media_assets;
    fields jsonb := media_worker.asset_fields(uploaded);
begin
    if wanted is null then
        return 'claim lost';
    end if;
    perform pg_advisory_xact_lock_shared(hashtext('media_worker'), hashtext('sync.record'));
    select * into a from public.media_assets as x where x.id = wanted for no key update;
    if a.id is null or a.deleted_at is not null then
        -- the deletion that was asked for may have come before the file was there
        perform media_worker.delete_assets_of(array[uploaded || jsonb_build_object('id', wanted)], 'hard_delete');
        return 'gone';
    end if;
    if not media_worker.makes_way(wanted, uploaded) then
        return 'taken';
    end if;
    insert into media_worker.mirrored_assets as m (id, base, looked_at, source_hash)
    values (wanted, fields, looked_at, sha256(replace(source_url, E'\\', E'\\\\')::bytea))
    on conflict on constraint mirrored_assets_pkey do update
    set base = excluded.base, looked_at = excluded.looked_at, source_hash = excluded.source_hash;
    perform media_worker.write_assets(jsonb_build_array(
        media_worker.of_cloudinary(uploaded, null) || jsonb_build_object('id', wanted)
        || case when a.display_name is null then jsonb_build_object('display_name', fields -> 'display_name')
           else '{}' end));
    perform media_worker.push_settled(wanted);
    perform media_worker.log_sync('upload', 'success', 'database', uploaded ->> 'public_id',
        jsonb_build_object('version', uploaded -> 'version', 'bytes', uploaded -> 'bytes'),
        (1000 * extract(epoch from clock_timestamp() - looked_at))::integer);
    return 'recorded';
end
$$;
comment on function media_worker.push_uploaded(uuid, uuid, jsonb, text, timestamptz, text) is
    'A row''s source_url was uploaded: recorded; gone: the row was deleted meanwhile, and so its asset''s deletion is asked for; taken: another row of the application''s has this asset; or claim lost.';

create or replace function media_worker.makes_way(wanted uuid, uploaded jsonb) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
    others jsonb;
    are_ours boolean;
begin
    -- rows of an asset that this one has replaced, and those that the mirror found meanwhile
    select jsonb_agg(jsonb_build_object('id', o.id, 'asset_id', null)
            || case when o.deleted_at is null then media_worker.marked_deleted() else '{}' end),
        bool_and(o.deleted_at is not null or coalesce(m.inserted_by_mirror, false))
    into others, are_ours
    from public.media_assets as o left join media_worker.mirrored_assets as m on m.id = o.id
    where o.id <> wanted and (o.asset_id = uploaded ->> 'asset_id' or o.deleted_at is null
        and media_worker.asset_key(media_worker.plain(o.resource_type), media_worker.plain(o.type), o.public_id::text)
            = media_worker.asset_key(uploaded ->> 'resource_type', uploaded ->> 'type', uploaded ->> 'public_id'));
    if are_ours then
        perform media_worker.write_assets(others);
    end if;
    return coalesce(are_ours, true);
end
$$;
comment on function media_worker.makes_way(uuid, jsonb) is
    'Other rows of an asset that was uploaded for this one give it up, and are marked deleted; false: one of them is the application''s.';

create or replace function media_worker.push_changed(
    push uuid, token uuid, pushed jsonb, operation text, started timestamptz
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    wanted uuid := (select p.asset from media_worker.asset_pushes as p
                    where p.id = push and p.claim = token);
    is_nameless boolean;
    -- whoever clears a name gets the one that Cloudinary gives
    given jsonb := case when pushed -> 'display_name' = 'null' then jsonb_build_object(
        'display_name', nullif(pushed -> 'found' ->> 'display_name', '')) else '{}' end;
begin
    if wanted is null then
        return 'claim lost';
    end if;
    select nullif(a.display_name::text, '') is null into is_nameless
    from public.media_assets as a where a.id = wanted and a.deleted_at is null for no key update;
    if not found and pushed ? 'public_id' then
        -- the deletion that was asked for may have come before the asset had that name
        perform media_worker.delete_assets_of(
            array[(pushed -> 'found') || jsonb_build_object('id', wanted)], 'hard_delete');
    end if;
    update media_worker.mirrored_assets as m
    set base = m.base || (pushed - 'found') || given, looked_at = clock_timestamp()
    where m.id = wanted;
    perform media_worker.write_assets(jsonb_build_array(
        media_worker.of_cloudinary(coalesce(pushed -> 'found', '{}'), null)
        || jsonb_build_object('id', wanted) || case when is_nameless then given else '{}' end));
    perform media_worker.push_settled(wanted);
    perform media_worker.log_sync(operation, 'success', 'database',
        coalesce(pushed ->> 'public_id', (select a.public_id::text from public.media_assets as a where a.id = wanted)),
        jsonb_build_object('changed', pushed - 'found'),
        (1000 * extract(epoch from clock_timestamp() - started))::integer);
    return 'recorded';
end
$$;
comment on function media_worker.push_changed(uuid, uuid, jsonb, text, timestamptz) is
    'These values of a row are at Cloudinary now (found: what it answered).';

create or replace function media_worker.name_is_leaving(
    resource_type text, type text, public_id text
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cloudinary_cleanup_queue as q
        where q.public_id = $3 and q.type = $2 and q.status in ('pending', 'processing')
            and coalesce(q.resource_type = $1, true))
    or exists (
        select from media_worker.asset_pushes as p
        join media_worker.mirrored_assets as m on m.id = p.asset
        join public.media_assets as a on a.id = p.asset
        where p.status in ('pending', 'processing') and a.deleted_at is null
            and a.resource_type::text = $1 and a.type::text = $2
            and m.base ->> 'public_id' = $3 and a.public_id::text <> $3)
$$;
comment on function media_worker.name_is_leaving(text, text, text) is
    'Whether the asset that has the name is about to be deleted, or given another one.';

create or replace function media_worker.push_settled(asset uuid) returns void
language sql security definer set search_path = '' set timezone = 'UTC'
as $$
    select media_worker.write_assets(jsonb_build_array(jsonb_build_object('id', a.id)
        || media_worker.agreed(media_worker.asset_fields(to_jsonb(a)) = m.base
                               and not media_worker.awaits_upload(to_jsonb(a), m))))
    from public.media_assets as a join media_worker.mirrored_assets as m on m.id = a.id
    where a.id = push_settled.asset and a.deleted_at is null
$$;
comment on function media_worker.push_settled(uuid) is
    'A row is synced if nothing of it is left to be pushed.';

create or replace function media_worker.push_failed(push uuid, token uuid, message text) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    wanted uuid := (select p.asset from media_worker.asset_pushes as p
                    where p.id = push and p.claim = token and p.status = 'processing');
    name text;
begin
    select a.public_id::text into name from public.media_assets as a
    where a.id = wanted and a.deleted_at is null for no key update;
    if found then
        perform media_worker.write_assets(jsonb_build_array(jsonb_build_object(
            'id', wanted, 'sync_status', 'error', 'sync_error', message)));
        perform media_worker.log_sync('update', 'error', 'database', name, error_message => message);
    end if;
    perform media_worker.finish('media_push', token, array[push], 'failed', array[message]);
end
$$;
comment on function media_worker.push_failed(uuid, uuid, text) is
    'A push is given up: the row says why, until sync_status is set to pending.';

create or replace function media_worker.sync_reconcile(most integer) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    asked uuid[];
begin
    if not media_worker.lead('sync.reconcile') then
        return 0;
    end if;
    asked := array(
        select a.id from public.media_assets as a
        where a.sync_status = 'pending' and a.deleted_at is null
            and not exists (select from media_worker.asset_pushes as p
                            where p.asset = a.id and p.status in ('pending', 'processing'))
        order by a.id limit most for no key update skip locked);
    perform media_worker.request_pushes(asked);
    return cardinality(asked);
end
$$;
comment on function media_worker.sync_reconcile(integer) is
    'Asks for the pushes of pending rows that have none (triggers were off, or the rows are older than Media Worker); returns how many.';
