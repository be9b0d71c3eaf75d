-- sync: the listing of the library, searched and filtered.

create or replace function public.list_media(
    page integer default 1, page_size integer default 50, search text default null,
    folder text default null, tags text[] default null, resource_type text default null
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
    most constant integer := 10000;
    query tsquery := media_worker.search_query(search);
    filtered boolean := query is not null or folder is not null or tags is not null
        or resource_type is not null;
    skip bigint := (page::bigint - 1) * page_size;
    stats record;
    total bigint;
    ids uuid[];
begin
    if page is null or page < 1 or page_size is null or page_size not between 1 and 500 then
        raise exception 'page % of % rows', coalesce(page::text, 'null'), coalesce(page_size::text, 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Give a page from 1, and a page_size from 1 to 500.';
    end if;
    select * into stats from public.get_media_statistics();
    total := stats.total_assets;
    if filtered then
        select f.total, f.ids into total, ids
        from media_worker.found_media(most + 1, skip, page_size, query, folder, tags, resource_type) as f;
    end if;
    if not filtered or total > most then
        ids := media_worker.ids_of_many(skip, page_size, query, folder, tags, resource_type);
    end if;
    return jsonb_build_object(
        'items', media_worker.media_items(ids),
        'total', case when filtered then least(total, most) else total end,
        'total_capped', filtered and total > most, 'page', page, 'page_size', page_size,
        'stats', to_jsonb(stats),
        'sync_status', (select to_jsonb(f) from media_worker.sync_figures() as f));
end
$$;
comment on function public.list_media(integer, integer, text, text, text[], text) is
    'A page of live assets, the newest first: those with words that begin as each word of search does (in public id, display name, tags), in a folder, with all these tags, of a resource type. total is exact up to 10,000 when filtered (else total_capped is true). 22023 for a page below 1, and a page_size beyond 1 to 500.';

create or replace function media_worker.search_query(search text) returns tsquery
language sql immutable set search_path = ''
as $$
    select to_tsquery('pg_catalog.simple', string_agg(w.word || ':*', ' & '))
    from regexp_split_to_table(search, '[^[:alnum:]]+') as w(word) where w.word <> ''
$$;
comment on function media_worker.search_query(text) is
    'What asset_words() has to match; null: everything.';

create or replace function media_worker.media_condition(
    query tsquery, folder text, tags text[], resource_type text
) returns text
language sql immutable set search_path = ''
as $$
    select concat_ws(' and ', 'a.deleted_at is null',
        case when query is not null then
            'media_worker.asset_words(a.public_id::text, a.display_name::text, a.tags::text[]) @@ $1' end,
        case when folder is not null then
            'media_worker.folder_key(a.folder::text) = media_worker.folder_key($2) and a.folder::text = $2' end,
        case when tags is not null then
            'media_worker.tag_keys(a.tags::text[]) @> media_worker.tag_keys($3) and a.tags::text[] @> $3' end,
        case when resource_type is not null then 'media_worker.plain(a.resource_type) = $4' end)
$$;
comment on function media_worker.media_condition(tsquery, text, text[], text) is
    'The condition of a listing: only what is asked for, so that each finds its index.';

create or replace function media_worker.found_media(
    most integer, skip bigint, size integer, query tsquery, folder text, tags text[],
    resource_type text, out total bigint, out ids uuid[]
)
language plpgsql stable security definer set search_path = ''
as $$
begin
    execute format($sql$
        with found as materialized (
            select a.id, a.created_at from public.media_assets as a where %s limit $5
        )
        select (select count(*) from found), array(
            select f.id from found as f order by f.created_at desc, f.id desc limit $7 offset $6)
        $sql$, media_worker.media_condition(query, folder, tags, resource_type))
    into total, ids using query, folder, tags, resource_type, most, skip, size;
end
$$;
comment on function media_worker.found_media(integer, bigint, integer, tsquery, text, text[], text) is
    'How many assets a listing has, counted up to `most`, and a page of them, which is right only if there are fewer.';

create or replace function media_worker.ids_of_many(
    skip bigint, size integer, query tsquery, folder text, tags text[], resource_type text
) returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
    condition text := media_worker.media_condition(query, folder, tags, resource_type);
    newest bigint;
    ids uuid[];
begin
    if query is null and tags is null then
        -- an index has them in order
        return media_worker.media_ids(format('public.media_assets as a where %s', condition),
            skip, size, query, folder, tags, resource_type);
    end if;
    newest := media_worker.newest_to_read(skip + size, query, folder, tags, resource_type);
    if newest is not null then
        ids := media_worker.media_ids(format($sql$
            (select * from public.media_assets as n where n.deleted_at is null
             order by n.created_at desc, n.id desc limit %s) as a where %s
            $sql$, newest, condition),
            skip, size, query, folder, tags, resource_type);
    end if;
    if ids is null or cardinality(ids) < size then
        ids := media_worker.media_ids('found as a', skip, size, query, folder, tags, resource_type,
            format('with found as materialized (select a.id, a.created_at
                    from public.media_assets as a where %s)', condition));
    end if;
    return ids;
end
$$;
comment on function media_worker.ids_of_many(bigint, integer, tsquery, text, text[], text) is
    'A page of a listing of many. What is frequent is met in order of time; of what is not, all that match are collected by their index.';

create or replace function media_worker.newest_to_read(
    wanted bigint, query tsquery, folder text, tags text[], resource_type text
) returns bigint
language plpgsql stable security definer set search_path = ''
as $$
declare
    sample constant integer := 1000;
    most constant integer := 20000;  -- beyond it, the index is faster
    met bigint;
begin
    execute format($sql$
        select count(*) from (
            select * from public.media_assets as n where n.deleted_at is null
            order by n.created_at desc, n.id desc limit $5) as a where %s
        $sql$, media_worker.media_condition(query, folder, tags, resource_type))
    into met using query, folder, tags, resource_type, sample;
    return case when met * most >= 1.5 * wanted * sample
        then ceil(1.5 * wanted * sample / met) end;
end
$$;
comment on function media_worker.newest_to_read(bigint, tsquery, text, text[], text) is
    'How many of the newest assets are to be read to meet so many that match, by how frequent these are among the newest of all; null: too many.';

create or replace function media_worker.media_items(ids uuid[]) returns jsonb
language sql stable security definer set search_path = ''
as $$
    select coalesce(jsonb_agg(to_jsonb(a) - 'source_url' order by i.place), '[]')
    from unnest(ids) with ordinality as i(id, place)
    join public.media_assets as a on a.id = i.id
$$;
comment on function media_worker.media_items(uuid[]) is
    'The assets of a page, in this order. A source_url is left out: it may be signed.';

create or replace function media_worker.media_ids(
    source text, skip bigint, size integer, query tsquery, folder text, tags text[],
    resource_type text, prefix text default ''
) returns uuid[]
language plpgsql stable security definer set search_path = ''
as $$
declare
    ids uuid[];
begin
    execute format('%s select array(select a.id from %s order by a.created_at desc, a.id desc
                    limit $6 offset $5)', prefix, source)
    into ids using query, folder, tags, resource_type, skip, size;
    return ids;
end
$$;
comment on function media_worker.media_ids(text, bigint, integer, tsquery, text, text[], text, text) is
    'The rows of a page, in order, out of a source of rows (SQL).';
