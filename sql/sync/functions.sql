-- sync: how assets are named and compared, the log, and deletions at Cloudinary.
-- What is called for every row has no search path of its own, which would double its cost: it
-- names nothing but built-ins, and our own with their schema.

create or replace function media_worker.asset_key(resource_type text, type text, public_id text)
returns bytea
language sql immutable
as $$
    select sha256(replace(resource_type || '/' || type || '/' || public_id, E'\\', E'\\\\')::bytea)
$$;
comment on function media_worker.asset_key(text, text, text) is
    'What an asset is found by: a hash, since public ids may be too long for an index.';

create or replace function media_worker.plain(given anyelement) returns text
language sql immutable
as $$ select given::text $$;
comment on function media_worker.plain(anyelement) is
    'A text, or the label of an enum, for indexes: labels may be renamed, and are none of ours.';

create or replace function media_worker.folder_key(folder text) returns text
language sql immutable
as $$ select left(folder, 200) $$;
comment on function media_worker.folder_key(text) is
    'What a folder is found by: its beginning, since folders may be too long for an index.';

create or replace function media_worker.tag_keys(tags text[]) returns text[]
language sql immutable
as $$ select array(select left(t.tag, 200) from unnest(tags) as t(tag)) $$;
comment on function media_worker.tag_keys(text[]) is
    'What tags are found by: their beginnings, since tags may be too long for an index.';

create or replace function media_worker.log_sync(
    operation text, status text, source text, public_id text, details jsonb default '{}',
    processing_time_ms integer default null, error_message text default null
) returns void
language sql security definer set search_path = ''
as $$
    insert into public.media_sync_log
        (operation, status, source, public_id, details, processing_time_ms, error_message)
    values (operation, status, source, public_id, coalesce(details, '{}'), processing_time_ms,
            error_message)
$$;
comment on function media_worker.log_sync(text, text, text, text, jsonb, integer, text) is
    'Writes a row of media_sync_log.';

create or replace function media_worker.write_assets(changes jsonb) returns void
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
begin
    perform media_worker.say_recording(true);
    update public.media_assets as a
    set (asset_id, public_id, resource_type, type, format, version, folder, display_name, tags,
         context, bytes, width, height, duration, url, secure_url, etag, updated_at, sync_status,
         sync_error, last_synced_at, deleted_at)
        = (r.asset_id, r.public_id, r.resource_type, r.type, r.format, r.version, r.folder,
           r.display_name, r.tags, r.context, r.bytes, r.width, r.height, r.duration, r.url,
           r.secure_url, r.etag, clock_timestamp(), r.sync_status, r.sync_error,
           r.last_synced_at, r.deleted_at)
    from jsonb_array_elements(changes) as c(doc)
    join public.media_assets as b on b.id = (c.doc ->> 'id')::uuid
    cross join lateral jsonb_populate_record(b, c.doc) as r
    where a.id = b.id;
    perform media_worker.say_recording(false);
end
$$;
comment on function media_worker.write_assets(jsonb) is
    'Writes what Media Worker knows into rows of media_assets, of whatever types their columns are: an object with the id and the new values for each. The caller has locked the rows.';

create or replace function media_worker.assets_were_deleted(
    resource_types text[], types text[], public_ids text[], versions bigint[], asset_ids text[]
) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    ids uuid[];
    changes jsonb;
begin
    -- a page that was read before is recorded before this, or sees this
    perform pg_advisory_xact_lock(hashtext('media_worker'), hashtext('sync.record'));
    insert into media_worker.deleted_assets as d (key, version)
    select media_worker.asset_key(g.resource_type, g.type, g.public_id), max(g.version)
    from unnest(resource_types, types, public_ids, versions)
        as g(resource_type, type, public_id, version)
    group by 1 order by 1
    on conflict on constraint deleted_assets_pkey do update
    set version = greatest(d.version, excluded.version), deleted_at = clock_timestamp();
    ids := array(
        select a.id from public.media_assets as a
        where a.deleted_at is null and a.id in (
            select b.id
            from unnest(resource_types, types, public_ids, versions, asset_ids)
                as g(resource_type, type, public_id, version, asset_id)
            cross join lateral media_worker.rows_of_asset(
                media_worker.asset_key(g.resource_type, g.type, g.public_id), g.asset_id) as r(id)
            join public.media_assets as b on b.id = r.id and coalesce(b.version <= g.version, true))
        order by a.id for no key update of a);
    if ids = '{}' then
        return 0;
    end if;
    select jsonb_agg(jsonb_build_object('id', i.id) || case
            when coalesce(m.inserted_by_mirror, false)
            then media_worker.marked_deleted()
            else jsonb_build_object('sync_status', 'error', 'sync_error',
                'its asset was deleted at Cloudinary when the row came: upload the file again') end)
    into changes
    from unnest(ids) as i(id) left join media_worker.mirrored_assets as m on m.id = i.id;
    perform media_worker.write_assets(changes);
    return cardinality(ids);
end
$$;
comment on function media_worker.assets_were_deleted(text[], text[], text[], bigint[], text[]) is
    'Assets were deleted at Cloudinary by Media Worker: rows that the mirror wrote for them (of that version or older; null: of any) are marked deleted, and what was seen of them before does not bring them back. A row that the application inserted gets sync_status error. Returns the number of rows.';

create or replace function media_worker.rows_of_asset(key bytea, asset_id text) returns setof uuid
language sql stable security definer set search_path = ''
as $$
    select a.id from public.media_assets as a where a.asset_id = $2 and a.deleted_at is null
    union
    select a.id from public.media_assets as a
    left join media_worker.mirrored_assets as m on m.id = a.id
    where a.deleted_at is null and coalesce(m.base ->> 'public_id' = a.public_id::text, true)
        and media_worker.asset_key(media_worker.plain(a.resource_type), media_worker.plain(a.type), a.public_id::text) = $1
$$;
comment on function media_worker.rows_of_asset(bytea, text) is
    'The live rows whose asset it is, by asset_key() and by Cloudinary''s id (null: not known). A row that is just being given the name has another asset.';

create or replace function media_worker.marked_deleted() returns jsonb
language sql volatile set search_path = ''
as $$
    select jsonb_build_object('deleted_at', clock_timestamp(), 'sync_status', 'synced',
        'sync_error', null, 'last_synced_at', clock_timestamp())
$$;
comment on function media_worker.marked_deleted() is 'What write_assets() is given for a row whose asset is gone.';

create or replace function media_worker.asset_fields(doc jsonb) returns jsonb
language sql immutable
as $$
    select jsonb_build_object(
        'public_id', doc ->> 'public_id',
        'tags', (select coalesce(jsonb_agg(distinct t.tag) filter (where t.tag <> ''), '[]')
                 from jsonb_array_elements_text(media_worker.json_of(doc -> 'tags', 'array')) as t(tag)),
        'context', (select coalesce(jsonb_object_agg(c.key, c.value) filter (where c.value is not null), '{}')
                    from jsonb_each_text(media_worker.json_of(doc -> 'context', 'object')) as c),
        'display_name', nullif(doc ->> 'display_name', ''),
        'resource_type', doc ->> 'resource_type', 'type', doc ->> 'type')
$$;
comment on function media_worker.asset_fields(jsonb) is
    'Of a row or an asset, its kind and what either side may change: comparable whatever the order of tags.';

create or replace function media_worker.json_of(given jsonb, type text) returns jsonb
language sql immutable
as $$
    select case when jsonb_typeof(given) = json_of.type then given
        when json_of.type = 'array' then '[]' else '{}' end
$$;
comment on function media_worker.json_of(jsonb, text) is 'A value of that type (array, object), or an empty one.';

create or replace function media_worker.asset_words(public_id text, display_name text, tags text[])
returns tsvector
language plpgsql immutable
as $$
begin
    return array_to_tsvector(array_remove(regexp_split_to_array(lower(concat_ws(' ',
        left(public_id, 1000), left(display_name, 1000), left(array_to_string(tags, ' '), 10000))),
        '[^[:alnum:]]+'), ''));
exception when others then
    return '';  -- a word that no index can hold must not fail the application's write
end
$$;
comment on function media_worker.asset_words(text, text, text[]) is
    'The words that list_media() searches.';
