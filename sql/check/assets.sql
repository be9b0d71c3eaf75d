-- check: what rows of media_assets and media_files say of assets at Cloudinary, and how they are mended.

create or replace function media_worker.check_asset_rows(
    table_name text, ids uuid[], cut_off timestamptz
)
returns table (owner_table text, owner_id uuid, resource_type text, type text, public_id text,
               bytes bigint, version bigint, standing text)
language plpgsql stable security definer set search_path = '' set timezone = 'UTC'
as $$
#variable_conflict use_column
begin
    if table_name = 'media_assets' then
        return query
        select 'media_assets', a.id, a.resource_type::text, a.type::text, a.public_id::text,
            a.bytes::bigint, a.version::bigint, case
                when a.sync_status::text = 'pending' or a.updated_at > cut_off
                    or media_worker.asset_is_under_way(a.id)
                    or media_worker.deletion_is_open(a.resource_type::text, a.type::text, a.public_id::text)
                then 'under way' when a.deleted_at is null then 'wanted' else 'deleted' end
        from public.media_assets as a where a.id = any (ids);
    else
        return query
        select 'media_files', m.id, t.resource_type, t.type, m.public_id::text, m.bytes::bigint,
            null::bigint, case
                when greatest(m.created_at, m.updated_at) > cut_off
                    or media_worker.deletion_is_open(t.resource_type, t.type, m.public_id::text)
                then 'under way' when m.status::text = 'deleted' then 'deleted' else 'wanted' end
        from public.media_files as m
        cross join lateral (select
            media_worker.resource_type_of(m.resource_type::text, m.secure_url::text),
            coalesce(m.type::text, 'upload')) as t(resource_type, type)
        where m.id = any (ids) and m.public_id <> '';
    end if;
end
$$;
comment on function media_worker.check_asset_rows(text, uuid[], timestamptz) is
    'What these rows of media_assets or media_files say of their assets. standing: wanted, deleted (the row is), or under way: it waits for something, or was touched after the cut-off.';

create or replace function media_worker.asset_is_under_way(asset uuid) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from media_worker.asset_pushes as p
        where p.asset = asset_is_under_way.asset
            and (p.claim is not null or p.status in ('pending', 'processing')))
$$;
comment on function media_worker.asset_is_under_way(uuid) is
    'Whether a row of media_assets is being made the same at Cloudinary, or waits for it.';

create or replace function media_worker.check_assets(
    run uuid, asset_ids text[], resource_types text[], types text[], public_ids text[],
    versions bigint[], cut_off timestamptz
)
returns table (n bigint, owner_table text, owner_id uuid, resource_type text, type text,
               public_id text, bytes bigint, version bigint, standing text)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
#variable_conflict use_column
begin
    return query
    with asset as materialized (
        select g.*, media_worker.asset_key(g.resource_type, g.type, g.public_id) as key
        from unnest(asset_ids, resource_types, types, public_ids, versions) with ordinality
            as g(asset_id, resource_type, type, public_id, version, n)
    ), named as materialized (
        -- one by one: a page's worth of looks into an index, whatever the planner thinks of hashing
        select x.n, 'media_assets' as owner_table, a.id from asset as x
        cross join lateral (
            select r.id from public.media_assets as r where r.asset_id = x.asset_id limit 1) as a
        union
        select x.n, 'media_assets', a.id from asset as x
        cross join lateral (
            select r.id from public.media_assets as r
            where r.deleted_at is null and x.key = media_worker.asset_key(
                media_worker.plain(r.resource_type), media_worker.plain(r.type), r.public_id::text)
            limit 1) as a
        union
        select x.n, 'media_files', m.id from asset as x
        cross join lateral (
            select r.* from public.media_files as r where r.public_id::text = x.public_id offset 0) as m
        where coalesce(m.type::text, 'upload') = x.type
            and coalesce(media_worker.resource_type_of(m.resource_type::text, m.secure_url::text)
                         = x.resource_type, true)
    ), noted as (
        insert into media_worker.check_seen_assets (run, owner_table, owner_id)
        select distinct check_assets.run, s.owner_table, s.id from named as s
        on conflict do nothing
    ), said as (
        select s.n, r.* from (
            select t.name, array(select s.id from named as s where s.owner_table = t.name) as ids
            from (values ('media_assets'), ('media_files')) as t(name)
        ) as of
        cross join lateral media_worker.check_asset_rows(of.name, of.ids, cut_off) as r
        join named as s on s.owner_table = r.owner_table and s.id = r.owner_id
    )
    select x.n, s.owner_table, s.owner_id, x.resource_type, x.type, x.public_id, s.bytes, s.version,
        case when coalesce(s.standing, 'deleted') <> 'deleted' then s.standing
            when media_worker.deletion_is_open(x.resource_type, x.type, x.public_id) then 'under way'
            when media_worker.outlived_deletion(x.resource_type, x.type, x.public_id, x.version, cut_off)
                is not null then 'unwanted'
            else coalesce(s.standing, 'foreign') end
    from asset as x left join said as s on s.n = x.n;
end
$$;
comment on function media_worker.check_assets(uuid, text[], text[], text[], text[], bigint[], timestamptz) is
    'What is known of assets that are at Cloudinary, by their places in the arrays: the rows that name them, which are noted as seen, or a line without owner. standing: as check_asset_rows() says; unwanted: Media Worker has deleted the asset; foreign: nothing is known of it.';

create or replace function media_worker.outlived_deletion(
    resource_type text, type text, public_id text, version bigint, before timestamptz
) returns bigint
language plpgsql stable security definer set search_path = ''
as $$
begin
    return (
        select d.version from media_worker.deleted_assets as d
        where d.key = media_worker.asset_key($1, $2, $3) and d.version >= outlived_deletion.version
            and d.deleted_at < before and media_worker.asset_user($1, $2, $3) is null);
end
$$;
comment on function media_worker.outlived_deletion(text, text, text, bigint, timestamptz) is
    'The version of an asset that Media Worker has deleted before that time, if this one is no newer and nobody uses it; else null.';

create or replace function media_worker.check_unseen_assets(
    run uuid, table_name text, after uuid, cut_off timestamptz, max_rows integer
)
returns table (last_id uuid, owner_table text, owner_id uuid, resource_type text, type text,
               public_id text, bytes bigint, version bigint, standing text)
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
declare
    page uuid[];
    unseen uuid[];
begin
    if table_name = 'media_assets' then
        page := array(select a.id from public.media_assets as a where a.id > after or after is null
                      order by a.id limit max_rows);
    else
        page := array(select m.id from public.media_files as m where m.id > after or after is null
                      order by m.id limit max_rows);
    end if;
    unseen := array(
        select i from unnest(page) as i
        except
        select s.owner_id from media_worker.check_seen_assets as s
        where s.run = $1 and s.owner_table = table_name and s.owner_id = any (page));
    return query
    select page[cardinality(page)], r.* from (select where cardinality(page) > 0) as more
    left join media_worker.check_asset_rows(table_name, unseen, cut_off) as r on r.standing = 'wanted';
end
$$;
comment on function media_worker.check_unseen_assets(uuid, text, uuid, timestamptz, integer) is
    'Of the next max_rows rows, those that want an asset which Cloudinary has not listed to this check. last_id, in every line, is where the next page begins; no line: there are no more rows.';

create or replace function media_worker.check_mend_asset(
    owner_table text, owner_id uuid, finding text, cut_off timestamptz
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    a public.media_assets;
    known media_worker.mirrored_assets;
begin
    if owner_table <> 'media_assets' then
        return case finding when 'missing' then 'without source' else 'not ours' end;
    end if;
    select * into a from public.media_assets as x where x.id = owner_id for no key update;
    if a.id is null or a.deleted_at is not null or a.sync_status::text = 'pending'
        or media_worker.asset_is_under_way(a.id) then
        return 'changed';
    end if;
    select * into known from media_worker.mirrored_assets as m where m.id = a.id;
    if finding = 'missing' and a.source_url <> '' then
        update media_worker.mirrored_assets as m set source_hash = null where m.id = a.id;
        update public.media_assets as x set sync_status = 'pending' where x.id = a.id;
        return 'asked again';
    elsif finding = 'missing' and known.id is null then
        return 'without source';
    elsif finding = 'missing' then
        -- it was looked for after cut_off
        return case media_worker.mirror_absent(array[a.id], cut_off, 'cloudinary')
            when 0 then 'changed' else 'marked deleted' end;
    end if;
    -- the worker looks at the asset by name, and makes the row the same
    perform media_worker.request_pushes(array[a.id]);
    return 'compared again';
end
$$;
comment on function media_worker.check_mend_asset(text, uuid, text, timestamptz) is
    'Begins the repair of a row whose asset is missing or differs. Returns asked again: its source_url is uploaded; compared again; marked deleted (neither asset nor source, and nothing known of it since cut_off); without source; not ours (a file of the application''s); or changed: nothing was done.';

create or replace function media_worker.check_delete_asset(
    resource_type text, type text, public_id text, version bigint
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    deleted bigint := media_worker.outlived_deletion(resource_type, type, public_id, version, 'infinity');
begin
    if deleted is null or media_worker.deletion_is_open(resource_type, type, public_id) then
        return 'changed';
    end if;
    perform media_worker.request_asset_deletions(array[public_id], array[resource_type], array[type],
        array[deleted], null, array[null], 'manual');
    return 'queued';
end
$$;
comment on function media_worker.check_delete_asset(text, text, text, bigint) is
    'Asks once more for the deletion of an asset that Media Worker has deleted and that is there all the same. Returns queued; or changed: nothing was done.';
