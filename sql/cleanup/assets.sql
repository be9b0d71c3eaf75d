-- cleanup: how a deletion of an asset is judged, sent and recorded.

create or replace function media_worker.asset_user(
    resource_type text, type text, public_id text, asset_id text default null
) returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
    used_by text;
begin
    select 'media_files ' || m.id into used_by from public.media_files as m
    where m.public_id::text = asset_user.public_id and m.status::text is distinct from 'deleted'
        and coalesce(nullif(m.type::text, ''), 'upload') = asset_user.type
        and coalesce(media_worker.resource_type_of(m.resource_type::text, m.secure_url::text)
                     = asset_user.resource_type, true)
    limit 1;
    if used_by is null then
        select 'media_assets ' || r into used_by
        from media_worker.rows_of_asset(media_worker.asset_key(
            asset_user.resource_type, asset_user.type, asset_user.public_id), asset_user.asset_id) as r
        where not exists (select from media_worker.mirrored_assets as x
                          where x.id = r and x.inserted_by_mirror)
        limit 1;
    end if;
    return used_by;
end
$$;
comment on function media_worker.asset_user(text, text, text, text) is
    'A row of the application that uses the asset (asset_id: Cloudinary''s own id of it, where it was looked at): it is not to be deleted then. Rows of media_files whose type is not known use all; rows that the mirror itself inserted use none.';

create or replace function media_worker.deleted_files_of(resource_type text, type text, public_id text)
returns setof uuid
language sql stable security definer set search_path = ''
as $$
    select m.id from public.media_files as m
    where m.public_id::text = $3 and m.status::text = 'deleted'
        and coalesce(nullif(m.type::text, ''), 'upload') = $2
        and coalesce(media_worker.resource_type_of(m.resource_type::text, m.secure_url::text) = $1, true)
$$;
comment on function media_worker.deleted_files_of(text, text, text) is
    'Soft-deleted rows of media_files that name the asset.';

create or replace function media_worker.known_version(q public.cloudinary_cleanup_queue)
returns bigint
language sql stable security definer set search_path = ''
as $$
    select max(w.version) from public.cloudinary_cleanup_queue as w
    where q.version is not null and w.public_id = q.public_id and w.type = q.type
        and coalesce(w.resource_type = q.resource_type, true)
        and not (w.status = 'completed' and w.error_message = 'cancelled: the row was had back')
$$;
comment on function media_worker.known_version(public.cloudinary_cleanup_queue) is
    'The newest version that a deleted row of the asset had, lately: an older row that was deleted after it had protected that version does not take it for a new upload. Null: this row had none.';

create or replace function media_worker.asset_cleanup_begin(ids uuid[], token uuid)
returns table (id uuid, public_id text, resource_type text, type text, version bigint, asset_id text,
               was_sent boolean, used_by text)
language sql stable security definer set search_path = ''
as $$
    select q.id, q.public_id, q.resource_type, q.type, media_worker.known_version(q), q.asset_id,
        q.sent_at is not null,
        case when q.resource_type is not null
            then media_worker.asset_user(q.resource_type, q.type, q.public_id) end
    from public.cloudinary_cleanup_queue as q
    where q.id = any (ids) and q.claim = token
$$;
comment on function media_worker.asset_cleanup_begin(uuid[], uuid) is
    'Claimed deletions, whether Cloudinary was asked for them before, and who uses the assets as far as these are known.';

create or replace function media_worker.asset_cleanup_send(
    ids uuid[], token uuid, resource_types text[], asset_ids text[]
) returns table (id uuid, verdict text, used_by text)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    files uuid[];
    free uuid[];
begin
    -- one after the other: of two runs that are to delete an asset, the second sees the first
    perform pg_advisory_xact_lock(hashtext('media_worker'), hashtext('cleanup.send'));
    select array_agg(distinct f) into files
    from unnest(ids, resource_types) as g(id, resource_type)
    join public.cloudinary_cleanup_queue as q on q.id = g.id and q.claim = token
    cross join lateral media_worker.deleted_files_of(g.resource_type, q.type, q.public_id) as f;
    -- whoever is having one of these rows back comes first; whoever comes later sees the mark
    free := array(select m.id from public.media_files as m where m.id = any (files)
                  order by m.id for share skip locked);
    return query
    with judged as (
        select q.id, q.public_id, q.type, g.resource_type,
            media_worker.asset_user(g.resource_type, q.type, q.public_id, g.asset_id) as used_by,
            exists (select from media_worker.deleted_files_of(g.resource_type, q.type, q.public_id) as f
                    where f <> all (free))
                or media_worker.is_sent(g.resource_type, q.type, q.public_id, token) as is_busy
        from unnest(ids, resource_types, asset_ids) as g(id, resource_type, asset_id)
        join public.cloudinary_cleanup_queue as q on q.id = g.id and q.claim = token
    ), sent as (
        update public.cloudinary_cleanup_queue as q
        set sent_at = clock_timestamp(), updated_at = clock_timestamp()
        from judged as j
        where q.id = any (ids) and q.id = j.id and j.used_by is null and not j.is_busy
        returning q.id
    ), marked as (
        insert into media_worker.media_files_without_asset (media_file_id)
        select distinct f from judged as j
        cross join lateral media_worker.deleted_files_of(j.resource_type, j.type, j.public_id) as f
        where j.used_by is null and not j.is_busy
        order by f
        on conflict do nothing
    )
    select j.id, case when s.id is not null then 'send' when j.is_busy then 'busy' else 'used' end,
        j.used_by
    from judged as j left join sent as s on s.id = j.id;
end
$$;
comment on function media_worker.asset_cleanup_send(uuid[], uuid, text[], text[]) is
    'The last word before Cloudinary is asked to delete assets of these types: send; used (by a row that has come); busy (a row is being had back, or another run deletes the asset). What is sent cannot be had back any more.';

create or replace function media_worker.is_sent(
    resource_type text, type text, public_id text, token uuid
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cloudinary_cleanup_queue as q
        where q.public_id = $3 and q.type = $2 and q.status <> 'completed'
            and coalesce(q.resource_type = $1, true) and q.claim <> token
            and q.sent_at >= q.started_at)
$$;
comment on function media_worker.is_sent(text, text, text, uuid) is
    'Whether another run than that with the token has asked Cloudinary to delete the asset, and not heard of it yet.';

create or replace function media_worker.asset_cleanup_refused(
    ids uuid[], token uuid, resource_types text[]
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    with refused as (
        update public.cloudinary_cleanup_queue as q
        set sent_at = null, updated_at = clock_timestamp()
        where q.id = any (ids) and q.claim = token
        returning q.id, q.type, q.public_id
    )
    delete from media_worker.media_files_without_asset as w
    where not w.gone and w.media_file_id in (
        select f from refused as r
        join unnest(ids, resource_types) as g(id, resource_type) on g.id = r.id
        cross join lateral media_worker.deleted_files_of(g.resource_type, r.type, r.public_id) as f
        where not exists (
            select from public.cloudinary_cleanup_queue as q
            where q.public_id = r.public_id and q.type = r.type and q.status <> 'completed'
                and q.sent_at is not null and q.id <> all (ids)))
$$;
comment on function media_worker.asset_cleanup_refused(uuid[], uuid, text[]) is
    'Cloudinary has refused to delete these assets, which nobody had asked it for before: they are there, and can be had back.';

create or replace function media_worker.asset_cleanup_end(
    ids uuid[], token uuid, resource_types text[], versions bigint[], asset_ids text[],
    were_there boolean[], milliseconds integer
) returns table (id uuid, note text)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    perform media_worker.mark_as_gone(ids, token, resource_types);
    perform media_worker.end_other_deletions(ids, token, resource_types);
    return query
    with gone as materialized (
        select g.resource_type, q.type, q.public_id, max(g.version) as version,
            max(g.asset_id) as asset_id, bool_or(g.was_there) as was_there, array_agg(q.id) as ids,
            'deleted, although ' || case when bool_or(g.was_there) then media_worker.asset_user(
                g.resource_type, q.type, q.public_id, max(g.asset_id)) end
                || ' came to use it meanwhile' as conflict
        from unnest(ids, resource_types, versions, asset_ids, were_there)
            as g(id, resource_type, version, asset_id, was_there)
        join public.cloudinary_cleanup_queue as q on q.id = g.id and q.claim = token
        group by g.resource_type, q.type, q.public_id
    ), marked as materialized (
        select media_worker.assets_were_deleted(array_agg(a.resource_type), array_agg(a.type),
            array_agg(a.public_id), array_agg(a.version), array_agg(a.asset_id)) from gone as a
    ), logged as (
        insert into public.media_sync_log
            (operation, status, source, public_id, details, processing_time_ms, error_message)
        select 'delete', case when a.conflict is null then 'success' else 'conflict' end,
            'database', a.public_id, jsonb_build_object('resource_type', a.resource_type,
                'type', a.type, 'version', a.version, 'was_there', a.was_there),
            milliseconds, a.conflict
        from gone as a cross join marked order by a.public_id, a.type, a.resource_type
    ), noted as (
        -- here, too: the run may be cut off before it records its end
        update public.cloudinary_cleanup_queue as q
        set error_message = a.conflict || ': upload it again', updated_at = clock_timestamp()
        from gone as a where q.id = any (a.ids) and a.conflict is not null
    )
    select q.id, coalesce(a.conflict || ': upload it again',
        case when q.error_message like 'deleted, although %' then q.error_message end)
    from gone as a cross join unnest(a.ids) as d(id)
    join public.cloudinary_cleanup_queue as q on q.id = d.id;
end
$$;
comment on function media_worker.asset_cleanup_end(uuid[], uuid, text[], bigint[], text[], boolean[], integer) is
    'These assets are gone from Cloudinary, some of them (were_there) just now, or in an earlier try. Returns a note for each (null: none): the row that came to use it while it was deleted.';

create or replace function media_worker.mark_as_gone(ids uuid[], token uuid, resource_types text[])
returns void
language sql security definer set search_path = ''
as $$
    insert into media_worker.media_files_without_asset as w (media_file_id, gone)
    select distinct f, true
    from unnest(ids, resource_types) as g(id, resource_type)
    join public.cloudinary_cleanup_queue as q on q.id = g.id and q.claim = token
    cross join lateral media_worker.deleted_files_of(g.resource_type, q.type, q.public_id) as f
    order by f
    on conflict on constraint media_files_without_asset_pkey do update set gone = true
    where not w.gone
$$;
comment on function media_worker.mark_as_gone(uuid[], uuid, text[]) is
    'The soft-deleted rows of these assets cannot be had back any more.';

create or replace function media_worker.end_other_deletions(
    ids uuid[], token uuid, resource_types text[]
) returns void
language sql security definer set search_path = ''
as $$
    -- step by step: whatever the planner believes of the queue, it goes from few to few
    with mine as materialized (
        select q.public_id, q.type, g.resource_type, q.started_at
        from unnest(ids, resource_types) as g(id, resource_type)
        join public.cloudinary_cleanup_queue as q on q.id = g.id and q.claim = token
    ), same as materialized (
        select x.id from mine as m cross join lateral (
            select q.id, q.type, q.resource_type, q.created_at
            from public.cloudinary_cleanup_queue as q
            where q.public_id = m.public_id offset 0) as x
        -- of what was deleted later the asset may have been uploaded anew
        where x.created_at < m.started_at and x.type = m.type and x.resource_type = m.resource_type
    )
    update public.cloudinary_cleanup_queue as q
    set status = 'completed', completed_at = clock_timestamp(), error_message = null,
        next_attempt_at = null, parked = false, updated_at = clock_timestamp()
    where q.id = any (array(
        select w.id from public.cloudinary_cleanup_queue as w
        where w.id = any (array(select s.id from same as s))
            and w.status = 'pending' and w.claim is null
        order by w.id for no key update skip locked))
$$;
comment on function media_worker.end_other_deletions(uuid[], uuid, text[]) is
    'The assets are gone: what else waits to delete them has nothing left to do.';
