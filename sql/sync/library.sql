-- sync: what people and programs read of the library.

create or replace function public.get_media_statistics()
returns table (total_assets bigint, images bigint, videos bigint, raw_files bigint,
               total_bytes bigint, pending bigint, errors bigint, synced bigint,
               success_rate numeric, avg_processing_ms numeric)
language sql stable security definer set search_path = ''
as $$
    select coalesce(sum(c.number) filter (where c.minute = '-infinity'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'image'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'video'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.resource_type = 'raw'), 0)::bigint,
        coalesce(sum(c.bytes), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'pending'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'error' and c.minute = '-infinity'), 0)::bigint,
        coalesce(sum(c.number) filter (where c.sync_status = 'synced'), 0)::bigint,
        round(100.0 * sum(c.number) filter (where c.minute > '-infinity' and c.sync_status = 'success')
            / nullif(sum(c.number) filter (where c.minute > '-infinity'
                                           and c.sync_status in ('success', 'error')), 0), 2),
        round(sum(c.milliseconds)::numeric / nullif(sum(c.timed), 0), 1)
    from media_worker.media_counts as c
    where c.minute = '-infinity' or c.minute > clock_timestamp() - interval '1 day'
$$;
comment on function public.get_media_statistics() is
    'The library in numbers: live assets by type and by how far they are synced, their bytes; of the last 24 hours the percentage of operations that succeeded, of those that succeeded or failed, and how long they took on average. Kept up to date by triggers: cheap at any size.';

create or replace function media_worker.fold_media_counts() returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    folded integer;
begin
    if not media_worker.lead('sync.counts') then
        return 0;
    end if;
    with old as (
        delete from media_worker.media_counts as c
        where c.id in (select x.id from media_worker.media_counts as x
                       order by x.id limit 100000 for update skip locked)
        returning c.*
    ), kept as (
        insert into media_worker.media_counts
            (minute, resource_type, sync_status, number, bytes, milliseconds, timed)
        select o.minute, o.resource_type, o.sync_status, sum(o.number), sum(o.bytes),
            sum(o.milliseconds), sum(o.timed)
        from old as o
        where o.minute = '-infinity' or o.minute > clock_timestamp() - interval '1 day'
        group by 1, 2, 3 having sum(o.number) <> 0 or sum(o.bytes) <> 0
        returning 1
    )
    select (select count(*) from old) - (select count(*) from kept) into folded;
    return folded;
end
$$;
comment on function media_worker.fold_media_counts() is
    'Adds up the differences that triggers have written; returns how many rows that saved.';

create or replace function media_worker.tg_media_sync_log__count() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into media_worker.media_counts (minute, sync_status, number, milliseconds, timed)
    select date_trunc('minute', n.created_at), n.status, count(*),
        coalesce(sum(n.processing_time_ms), 0), count(n.processing_time_ms)
    from new_rows as n group by 1, 2;
    return null;
end
$$;
comment on function media_worker.tg_media_sync_log__count() is
    'Counts operations for get_media_statistics().';
create or replace trigger zz_media_worker_count after insert on public.media_sync_log
referencing new table as new_rows
for each statement execute function media_worker.tg_media_sync_log__count();

create or replace function public.cleanup_old_sync_logs(retention_days integer default 30)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
    deleted bigint;
begin
    if retention_days is null or retention_days < 0 then
        raise exception 'retention_days is %', coalesce(retention_days::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Give a number of days, 0 or more.';
    end if;
    delete from public.media_sync_log as l
    where l.created_at < clock_timestamp() - make_interval(days => retention_days);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
comment on function public.cleanup_old_sync_logs(integer) is
    'Deletes lines of media_sync_log older than that many days; returns how many. Runs daily by itself, with WORK_RETENTION_DAYS.';

create or replace function media_worker.sync_forget(days integer) returns bigint
language sql security definer set search_path = ''
as $$
    select case when media_worker.take_turn('forget the sync log', interval '1 day')
        then public.cleanup_old_sync_logs(days) + media_worker.forget_deleted_assets(days) else 0 end
$$;
comment on function media_worker.sync_forget(integer) is
    'The daily cleanup of what sync remembers; returns how many rows are gone.';

create or replace function media_worker.sync_figures()
returns table (last_full_sync_at timestamptz, last_full_sync_status text, running bigint,
               pending bigint, errors bigint, lag interval)
language sql stable security definer set search_path = ''
as $$
    select f.completed_at, f.status,
        (select count(*) from public.media_sync_runs as r where r.status = 'processing'),
        s.pending, s.errors,
        coalesce(clock_timestamp() - (select min(o.since) from (
            select min(p.changed_at) as since from media_worker.asset_pushes as p
            where p.status in ('pending', 'processing')
            union all
            select min(e.created_at) from public.media_webhook_events as e
            where e.status in ('pending', 'processing')) as o), interval '0')
    from public.get_media_statistics() as s
    left join (
        select r.completed_at, r.status from public.media_sync_runs as r
        where r.single_asset is null and r.status in ('completed', 'failed')
        order by r.completed_at desc limit 1) as f on true
$$;
comment on function media_worker.sync_figures() is 'The figures of the view media_sync_status.';

create or replace view public.media_sync_status with (security_invoker = true) as
select * from media_worker.sync_figures();
comment on view public.media_sync_status is
    'How far media_assets and the Cloudinary account are the same: the last full sync that ended, the runs under way, rows that are pending or in error, and since how long the oldest change waits.';

-- The listing ---------------------------------------------------------------------------------------

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
    stats record;
    total bigint;
begin
    if page is null or page < 1 or page_size is null or page_size not between 1 and 500 then
        raise exception 'page % of % rows', coalesce(page::text, 'null'), coalesce(page_size::text, 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Give a page from 1, and a page_size from 1 to 500.';
    end if;
    select * into stats from public.get_media_statistics();
    total := case when filtered
        then media_worker.count_media(most + 1, query, folder, tags, resource_type)
        else stats.total_assets end;
    return jsonb_build_object(
        'items', media_worker.media_page((page - 1)::bigint * page_size, page_size, query, folder,
            tags, resource_type, filtered and total <= most),
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

create or replace function media_worker.count_media(
    most integer, query tsquery, folder text, tags text[], resource_type text
) returns bigint
language plpgsql stable security definer set search_path = ''
as $$
declare
    number bigint;
begin
    execute format('select count(*) from (select from public.media_assets as a where %s limit $5) as x',
                   media_worker.media_condition(query, folder, tags, resource_type))
    into number using query, folder, tags, resource_type, most;
    return number;
end
$$;
comment on function media_worker.count_media(integer, tsquery, text, text[], text) is
    'How many assets a listing has, counted up to `most`.';

create or replace function media_worker.media_page(
    skip bigint, size integer, query tsquery, folder text, tags text[], resource_type text, few boolean
) returns jsonb
language plpgsql stable security definer set search_path = ''
as $$
declare
    condition text := media_worker.media_condition(query, folder, tags, resource_type);
    ids uuid[];
begin
    if query is null and tags is null then
        -- an index has them in order
        ids := media_worker.media_ids(format('public.media_assets as a where %s', condition),
            skip, size, query, folder, tags, resource_type);
    elsif not few then
        -- of many, the newest are soon met in order of time; unless they are all old
        ids := media_worker.media_ids(format($sql$
            (select * from public.media_assets as n where n.deleted_at is null
             order by n.created_at desc, n.id desc limit %s) as a where %s
            $sql$, greatest(5000, 2 * (skip + size)), condition),
            skip, size, query, folder, tags, resource_type);
    end if;
    if ids is null or cardinality(ids) < size and (query is not null or tags is not null) then
        ids := media_worker.media_ids('found as a', skip, size, query, folder, tags, resource_type,
            format('with found as materialized (select a.id, a.created_at
                    from public.media_assets as a where %s)', condition));
    end if;
    return coalesce((
        select jsonb_agg(to_jsonb(a) - 'source_url' order by i.place)
        from unnest(ids) with ordinality as i(id, place)
        join public.media_assets as a on a.id = i.id), '[]');
end
$$;
comment on function media_worker.media_page(bigint, integer, tsquery, text, text[], text, boolean) is
    'A page of a listing. few: all that match are collected by their index. A source_url is left out: it may be signed.';

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
