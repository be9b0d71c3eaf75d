-- sync: the comparison of media_assets with the account, page by page.

create or replace function media_worker.sync_run_begin(run_id uuid, token uuid) returns jsonb
language plpgsql security definer set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    r public.media_sync_runs;
begin
    update public.media_sync_runs as w set began_at = coalesce(w.began_at, clock_timestamp())
    where w.id = run_id and w.claim = token returning * into r;
    if r.id is null then
        return null;
    end if;
    return jsonb_build_object('force', r.force, 'batch_size', r.batch_size, 'cursor', r.cursor,
        'single_asset', r.single_asset, 'another_runs', exists (
            select from public.media_sync_runs as w
            where w.single_asset is null and r.single_asset is null and w.id <> r.id
                and w.claim is not null and w.started_at < r.started_at));
end
$$;
comment on function media_worker.sync_run_begin(uuid, uuid) is
    'What a claimed run is to do and where it is; null: the claim is lost.';

create or replace function media_worker.sync_run_page(
    run_id uuid, token uuid, assets jsonb, looked_at timestamptz, cursor jsonb, policy text,
    asked uuid[] default '{}'
) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    plan jsonb;
begin
    -- the assets before the work row, as the application locks them
    plan := media_worker.mirror_assets(assets, looked_at, policy, 'full_sync');
    insert into media_worker.media_sync_seen (run_id, asset)
    select sync_run_page.run_id, (p.doc ->> 'id')::uuid
    from jsonb_array_elements(plan) as p(doc) where p.doc ->> 'id' is not null
    union select sync_run_page.run_id, i from unnest(asked) as i
    on conflict do nothing;
    update public.media_sync_runs as r
    set cursor = sync_run_page.cursor, seen = r.seen + n.seen, inserted = r.inserted + n.inserted,
        updated = r.updated + n.updated, unchanged = r.unchanged + n.unchanged,
        skipped = r.skipped + n.skipped, conflicts = r.conflicts + n.conflicts
    from media_worker.plan_figures(plan) as n
    where r.id = run_id and r.claim = token;
    if not found then
        raise exception 'the claim is lost' using errcode = 'MW001';
    end if;
    return true;
end
$$;
comment on function media_worker.sync_run_page(uuid, uuid, jsonb, timestamptz, jsonb, text, uuid[]) is
    'Records a page that was looked at then, and where the run goes on; asked: rows whose assets were looked for by name. Raises MW001 when the claim is lost.';

create or replace function media_worker.plan_figures(plan jsonb)
returns table (seen bigint, inserted bigint, updated bigint, unchanged bigint, skipped bigint,
               conflicts bigint)
language sql immutable set search_path = ''
as $$
    select count(*),
        count(*) filter (where p.doc ->> 'action' in ('insert', 'restore')),
        count(*) filter (where p.doc ->> 'action' in ('update', 'rename')),
        count(*) filter (where p.doc ->> 'action' = 'unchanged'),
        count(*) filter (where p.doc ->> 'action' = 'skip'),
        count(*) filter (where p.doc ? 'lost')
    from jsonb_array_elements(plan) as p(doc)
$$;
comment on function media_worker.plan_figures(jsonb) is 'What became of the assets of a page, in numbers.';

create or replace function media_worker.unseen_assets(run_id uuid)
returns table (id uuid, resource_type text, type text, public_id text)
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
    select a.id, m.base ->> 'resource_type', m.base ->> 'type', m.base ->> 'public_id'
    from public.media_sync_runs as r
    join media_worker.mirrored_assets as m on m.looked_at < r.began_at
    join public.media_assets as a on a.id = m.id and a.deleted_at is null
    where r.id = run_id and not exists (
        select from media_worker.media_sync_seen as s where s.run_id = r.id and s.asset = a.id)
$$;
comment on function media_worker.unseen_assets(uuid) is
    'Live rows that were synced before the run began and whose assets it has not seen, by the names that these had.';

create or replace function media_worker.sync_run_missing(run_id uuid, most integer) returns jsonb
language sql stable security definer set search_path = ''
as $$
    select jsonb_build_object(
        'missing', r.deleted + (select count(*) from media_worker.unseen_assets(run_id)),
        'known', r.deleted + (select count(*) from public.media_assets as a
            join media_worker.mirrored_assets as m on m.id = a.id where a.deleted_at is null),
        'next', (select coalesce(jsonb_agg(u), '[]') from (
            select * from media_worker.unseen_assets(run_id) as x
            order by x.resource_type, x.type, x.id limit most) as u))
    from public.media_sync_runs as r where r.id = run_id
$$;
comment on function media_worker.sync_run_missing(uuid, integer) is
    'How many rows'' assets a run has not seen, out of how many, and the next of them to be looked for by name.';

create or replace function media_worker.sync_run_absent(
    run_id uuid, token uuid, ids uuid[], looked_at timestamptz
) returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    gone integer := media_worker.mirror_absent(ids, looked_at, 'full_sync');
begin
    insert into media_worker.media_sync_seen (run_id, asset)
    select sync_run_absent.run_id, i from unnest(ids) as i on conflict do nothing;
    update public.media_sync_runs as r set deleted = r.deleted + gone
    where r.id = run_id and r.claim = token;
    if not found then
        raise exception 'the claim is lost' using errcode = 'MW001';
    end if;
    return gone;
end
$$;
comment on function media_worker.sync_run_absent(uuid, uuid, uuid[], timestamptz) is
    'These rows'' assets were looked for by name and are not there. Returns how many rows were marked deleted; raises MW001 when the claim is lost.';

create or replace function media_worker.sync_run_end(
    run_id uuid, token uuid, status text default 'completed', message text default null
) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    r public.media_sync_runs;
begin
    select * into r from public.media_sync_runs as w
    where w.id = run_id and w.claim = token for no key update;
    if r.id is null then
        return false;
    end if;
    delete from media_worker.media_sync_seen as s where s.run_id = r.id;
    update public.media_sync_runs as w
    set cursor = null, began_at = case when sync_run_end.status = 'completed' then w.began_at end
    where w.id = r.id;
    perform media_worker.log_sync(
        case when r.single_asset is null then 'full_sync' else 'single_sync' end,
        case status when 'completed' then 'success' else 'error' end, 'full_sync', r.single_asset,
        jsonb_build_object('run_id', r.id, 'seen', r.seen, 'inserted', r.inserted,
            'updated', r.updated, 'deleted', r.deleted, 'unchanged', r.unchanged,
            'skipped', r.skipped, 'conflicts', r.conflicts),
        (1000 * extract(epoch from clock_timestamp() - r.began_at))::integer, message);
    perform media_worker.finish('media_sync', token, array[r.id], status, array[message],
        status = 'completed');
    return true;
end
$$;
comment on function media_worker.sync_run_end(uuid, uuid, text, text) is
    'Ends a run, completed or failed, with a line in the log; false: the claim is lost. A failed run that is asked for again starts from the beginning.';

create or replace function public.request_media_sync(
    force boolean default false, batch_size integer default 100, single_asset text default null
) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
    waiting uuid;
begin
    if batch_size is null or batch_size not between 1 and 500 then
        raise exception 'batch_size is %', coalesce(batch_size::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Give a number from 1 to 500.';
    elsif single_asset = '' then
        raise exception 'single_asset is empty' using errcode = 'invalid_parameter_value',
            hint = 'Give a public id, or null to compare all assets.';
    end if;
    perform pg_advisory_xact_lock(hashtext('media_worker'), hashtext('sync.request'));
    update public.media_sync_runs as r
    set status = 'pending', force = r.force or coalesce(request_media_sync.force, false),
        batch_size = request_media_sync.batch_size
    where r.id = (
        -- one that a worker has left may wait beside one that was asked for meanwhile
        select w.id from public.media_sync_runs as w
        where w.status = 'pending' and w.claim is null
            and w.single_asset is not distinct from request_media_sync.single_asset
        order by w.created_at, w.id limit 1 for no key update)
        and r.status = 'pending' and r.claim is null
    returning r.id into waiting;
    if waiting is null then
        insert into public.media_sync_runs (force, batch_size, single_asset, due_by)
        values (coalesce(force, false), batch_size, single_asset, clock_timestamp() + interval '5 minutes')
        returning id into waiting;
    end if;
    return waiting;
end
$$;
comment on function public.request_media_sync(boolean, integer, text) is
    'Has media_assets compared with the Cloudinary account and made the same, in pages of batch_size (1 to 500); or one asset, by its public id. force: even if more than half of the rows are to be marked deleted. Returns the id of the row in media_sync_runs: that of a run which waits already, if there is one. 22023 for other values.';

create or replace function media_worker.sync_nightly(at time) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    slot timestamptz := media_worker.last_daily_slot(at);
begin
    if not media_worker.take_turn('media sync', interval '1 day', slot)
        or not exists (select from public.media_sync_runs as r where r.single_asset is null)
        or exists (select from public.media_sync_runs as r
                   where r.single_asset is null and r.created_at > slot) then
        return 0;
    end if;
    perform public.request_media_sync();
    return 1;
end
$$;
comment on function media_worker.sync_nightly(time) is
    'Asks for the nightly comparison, where one was ever asked for by hand; returns how many.';
