-- cleanup: asking for the deletion of assets, and what others ask about it.

create or replace function media_worker.request_asset_deletions(
    public_ids text[], resource_types text[], types text[], versions bigint[],
    source_table text, source_ids text[], reason text, asset_ids text[] default null
) returns setof uuid
language sql security definer set search_path = ''
as $$
    -- those of one kind stand together in the queue: a call to Cloudinary is about one kind
    with here as materialized (
        select media_worker.this_database() as name, media_worker.after_grace() as after_grace,
            clock_timestamp() as now
    )
    insert into public.cloudinary_cleanup_queue
        (public_id, resource_type, type, version, asset_id, source_table, source_id, reason, database,
         created_at, next_attempt_at, due_by)
    select a.public_id, a.resource_type, a.type, a.version, a.asset_id,
        request_asset_deletions.source_table, a.source_id, request_asset_deletions.reason, here.name,
        here.now, here.after_grace,
        coalesce(here.after_grace, here.now)
            + dense_rank() over (order by a.resource_type, a.type) * interval '1 millisecond'
    from (select g.public_id, media_worker.resource_type_of(g.resource_type, null) as resource_type,
              coalesce(nullif(g.type, ''), 'upload') as type, g.version, g.asset_id, g.source_id
          from unnest(public_ids, resource_types, types, versions, source_ids, asset_ids)
              as g(public_id, resource_type, type, version, source_id, asset_id)
          where g.public_id <> '') as a
    cross join here
    returning id
$$;
comment on function media_worker.request_asset_deletions(text[], text[], text[], bigint[], text, text[], text, text[]) is
    'Queues the deletion of assets, a row each, after DELETE_GRACE; the arrays belong together. Only inserts: who deletes rows in another order waits for nobody. Returns the rows'' ids.';

create or replace function media_worker.resource_type_of(resource_type text, secure_url text)
returns text
language sql immutable set search_path = ''
as $$
    select case
        when lower(resource_type) in ('image', 'video', 'raw') then lower(resource_type)
        when lower(resource_type) = 'audio' then 'video'
        else substring(secure_url from '^https?://[^/]+/(?:[^/]+/)?(image|video|raw)/[a-z_]+/') end
$$;
comment on function media_worker.resource_type_of(text, text) is
    'image, video or raw: as the row says, else as its URL does; null: neither tells.';

create or replace function media_worker.version_of(secure_url text, public_id text) returns bigint
language sql immutable set search_path = ''
as $$
    select found.digits::bigint
    from substring(secure_url from '/(?:image|video|raw)/[a-z_]+/(?:.*?/)?v([0-9]{1,18})/') as found(digits)
    -- v1 stands in URLs of which the version is not known; a folder may look like a version
    where found.digits <> '1' and strpos('/' || public_id, '/v' || found.digits || '/') = 0
$$;
comment on function media_worker.version_of(text, text) is
    'The version of an asset, as its URL says; null: it does not.';

create or replace function media_worker.deletion_is_open(
    resource_type text, type text, public_id text
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cloudinary_cleanup_queue as q
        where q.public_id = $3 and q.type = $2 and q.status <> 'completed'
            and coalesce(q.resource_type = $1, true))
$$;
comment on function media_worker.deletion_is_open(text, text, text) is
    'Whether the asset''s deletion is waiting, under way or failed: then nothing brings it back.';
