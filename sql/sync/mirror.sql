-- sync: what was seen at Cloudinary is written into media_assets.

create or replace function media_worker.mirror_assets(
    assets jsonb, looked_at timestamptz, policy text, source text
) returns jsonb
language plpgsql security definer set search_path = '' set timezone = 'UTC' set lock_timeout = '300ms'
as $$
declare
    plan jsonb;
    later jsonb;
begin
    -- shared by all that record; see assets_were_deleted()
    perform pg_advisory_xact_lock_shared(hashtext('media_worker'), hashtext('sync.record'));
    perform from public.media_assets as a
    where a.id = any (array(select m.id from media_worker.matched_assets(assets) as m))
    order by a.id for no key update;
    plan := media_worker.mirror_plan(assets, looked_at, policy);
    -- another row has the name of these, and may be about to lose it; or they have to leave the
    -- name that they are to be given to an asset that has it already
    select jsonb_agg(p.doc -> 'found') into later from jsonb_array_elements(plan) as p(doc)
    where p.doc ->> 'action' = 'skip' and p.doc ->> 'occupant' is not null
            and plan @> '[{"action": "rename"}]'
        or p.doc ->> 'action' in ('update', 'unchanged') and plan @> jsonb_build_array(
            jsonb_build_object('action', 'rename', 'occupant', p.doc -> 'id'));
    if later is null then
        return media_worker.mirror_written(plan, looked_at, source);
    end if;
    plan := media_worker.mirror_written(coalesce((
        select jsonb_agg(p.doc) from jsonb_array_elements(plan) as p(doc)
        where not later @> jsonb_build_array(p.doc -> 'found')), '[]'), looked_at, source);
    return plan || media_worker.mirror_written(
        media_worker.mirror_plan(later, looked_at, policy), looked_at, source);
end
$$;
comment on function media_worker.mirror_assets(jsonb, timestamptz, text, text) is
    'Makes rows the same as these assets, which were looked at then, and logs what was changed. policy: who wins what both sides have changed (newest, cloudinary, database). Returns what became of each: id and action (insert, restore, rename, update, unchanged, skip).';

create or replace function media_worker.mirror_written(
    given jsonb, looked_at timestamptz, source text
) returns jsonb
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    plan jsonb;
begin
    perform media_worker.write_assets(media_worker.ways_cleared(given));
    perform media_worker.write_assets(coalesce(jsonb_agg(p.doc -> 'write'), '[]'))
    from jsonb_array_elements(given) as p(doc) where p.doc ->> 'action' in ('update', 'rename', 'restore');
    plan := media_worker.insert_found(given);
    insert into media_worker.mirrored_assets as m (id, inserted_by_mirror, base, looked_at)
    select (p.doc ->> 'id')::uuid, p.doc ->> 'action' = 'insert', p.doc -> 'base',
        mirror_written.looked_at
    from jsonb_array_elements(plan) as p(doc) where p.doc ? 'base' order by 1
    on conflict on constraint mirrored_assets_pkey do update
    set base = excluded.base, looked_at = excluded.looked_at;
    perform media_worker.log_mirrored(plan, source, looked_at);
    -- what could not be pushed, and may be by now
    update media_worker.asset_pushes as u
    set status = 'pending', next_attempt_at = null, attempts = 0, due_by = clock_timestamp()
    where u.status = 'failed' and u.claim is null and u.asset in (
        select (p.doc ->> 'id')::uuid from jsonb_array_elements(plan) as p(doc)
        where p.doc -> 'write' ->> 'sync_status' = 'pending');
    perform media_worker.request_pushes(array(
        select (p.doc ->> 'id')::uuid from jsonb_array_elements(plan) as p(doc)
        where p.doc ->> 'kept' = 'database'));
    return plan;
end
$$;
comment on function media_worker.mirror_written(jsonb, timestamptz, text) is
    'Carries a plan out, and logs it; returns it with the ids of the rows that were inserted.';

create or replace function media_worker.matched_assets(found jsonb)
returns table (n bigint, doc jsonb, key bytea, id uuid, dead uuid, occupant uuid)
language sql stable security definer set search_path = ''
as $$
    select f.n, f.doc, f.key,
        case when mine.deleted_at is null then coalesce(mine.id, same.id)
            else coalesce(same.id, mine.id) end,
        case when mine.deleted_at is not null and same.id is not null then mine.id end,
        case when named.id is distinct from mine.id and named.id is distinct from same.id then named.id
            when mine.deleted_at is null and mine.id <> named.id then named.id end
    from (
        select e.n, e.doc, media_worker.asset_key(
            e.doc ->> 'resource_type', e.doc ->> 'type', e.doc ->> 'public_id') as key
        from jsonb_array_elements(found) with ordinality as e(doc, n)
    ) as f
    -- each by its index (that is what OFFSET is for), however large the table was last seen
    left join lateral (
        select a.id, a.deleted_at from public.media_assets as a
        where a.asset_id = f.doc ->> 'asset_id' offset 0) as mine on true
    left join lateral (
        select a.id, a.asset_id from public.media_assets as a
        where a.deleted_at is null
            and media_worker.asset_key(media_worker.plain(a.resource_type), media_worker.plain(a.type), a.public_id::text)
                = f.key offset 0) as named on true
    left join lateral (
        select x.base from media_worker.mirrored_assets as x where x.id = named.id offset 0) as m on true
    -- its name is this asset's, unless it is just being given that name, or has an asset already
    left join lateral (
        select named.id where coalesce(m.base ->> 'public_id' = f.doc ->> 'public_id', true)
            and not coalesce(found @> jsonb_build_array(jsonb_build_object('asset_id', named.asset_id)), false)
    ) as same on true
$$;
comment on function media_worker.matched_assets(jsonb) is
    'Which row each asset has: the live one with its asset_id, or else with its name, or a deleted one. dead: a deleted row that has its asset_id besides; occupant: a live row of another asset that has its name.';

create or replace function media_worker.mirror_plan(found jsonb, looked_at timestamptz, policy text)
returns jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
    select coalesce(jsonb_agg(media_worker.mirror_verdict(
            x.doc, case when a.id is not null then to_jsonb(a) end, m.known, p.changed_at, x.occupant is not null, x.occupant_is_known, x.may_come,
            mirror_plan.looked_at, mirror_plan.policy)
        || jsonb_build_object('found', x.doc, 'dead', x.dead, 'occupant', x.occupant)
        order by x.n), '[]')
    from (
        select t.*, t.occupant is null or exists (
                select from media_worker.mirrored_assets as o where o.id = t.occupant) as occupant_is_known,
            not media_worker.deletion_is_open(
                    t.doc ->> 'resource_type', t.doc ->> 'type', t.doc ->> 'public_id')
                and not exists (select from media_worker.deleted_assets as d
                                where d.key = t.key and d.deleted_at >= mirror_plan.looked_at) as may_come
        from media_worker.matched_assets(found) as t
    ) as x
    left join lateral (
        select r.* from public.media_assets as r where r.id = x.id offset 0) as a on true
    left join lateral (
        select r as known from media_worker.mirrored_assets as r where r.id = x.id offset 0) as m on true
    left join lateral (
        select r.changed_at from media_worker.asset_pushes as r where r.asset = x.id offset 0) as p on true
$$;
comment on function media_worker.mirror_plan(jsonb, timestamptz, text) is
    'What is to be done about each of these assets; see mirror_verdict().';

create or replace function media_worker.mirror_verdict(
    asset jsonb, mine jsonb, known media_worker.mirrored_assets, changed_at timestamptz,
    occupied boolean, name_is_free boolean, may_come boolean, looked_at timestamptz, policy text
) returns jsonb
language plpgsql stable set search_path = '' set timezone = 'UTC'
as $$
declare
    merged jsonb;
    changed jsonb;
    agreed jsonb;
    base jsonb := media_worker.asset_fields(asset);
begin
    if mine is null or mine ->> 'deleted_at' is not null then
        return case
            when not may_come then '{"action": "skip", "why": "its deletion is wanted"}'
            when occupied then '{"action": "skip", "why": "another row has its name"}'
            when mine is null then jsonb_build_object('action', 'insert', 'base', base)
            else jsonb_build_object('action', 'restore', 'id', mine ->> 'id', 'base', base,
                'write', media_worker.of_cloudinary(asset, null) || media_worker.stale_etag(asset, mine)
                    || base || jsonb_build_object(
                    'id', mine ->> 'id', 'deleted_at', null)
                    || media_worker.agreed(true)) end;
    elsif known.looked_at > looked_at or not name_is_free or media_worker.awaits_upload(mine, known) then
        return jsonb_build_object('action', 'skip', 'id', mine ->> 'id', 'why', case
            when not name_is_free then 'a row that is not synced yet has its name' end);
    end if;
    merged := media_worker.merged(media_worker.asset_fields(mine), known.base, base,
        coalesce(changed_at, (mine ->> 'updated_at')::timestamptz), asset -> 'clock', policy);
    changed := (merged -> 'take') || media_worker.of_cloudinary(asset, mine)
        || media_worker.stale_etag(asset, mine);
    agreed := media_worker.agreed((merged ->> 'same')::boolean);
    if not (merged ->> 'same')::boolean and mine ->> 'sync_status' = 'error'
            and merged ->> 'kept' is distinct from 'database'
            and known.base ->> 'public_id' = base ->> 'public_id'
            and not changed ?| array['asset_id', 'version'] then
        -- what could not be pushed still cannot, unless it has come back, or got another name
        agreed := '{}';
    end if;
    return merged || jsonb_build_object('id', mine ->> 'id', 'base', base) || case
        when changed = '{}' and known.base = base
                and mine ->> 'sync_status' = coalesce(agreed ->> 'sync_status', 'error')
            then jsonb_build_object('action', 'unchanged') - 'base'
        else jsonb_build_object(
            'action', case when changed ?| array['public_id', 'resource_type', 'type']
                then 'rename' else 'update' end,
            'changed', changed,
            'write', changed || jsonb_build_object('id', mine ->> 'id', 'deleted_at', null)
                || agreed) end;
end
$$;
comment on function media_worker.mirror_verdict(jsonb, jsonb, media_worker.mirrored_assets, timestamptz, boolean, boolean, boolean, timestamptz, text) is
    'What is to be done about an asset that was found, given its row (null: none) and what both had in common last.';

create or replace function media_worker.awaits_upload(mine jsonb, known media_worker.mirrored_assets)
returns boolean
language sql immutable
as $$
    select mine ->> 'source_url' <> ''
        and sha256(replace(mine ->> 'source_url', E'\\', E'\\\\')::bytea) is distinct from known.source_hash
$$;
comment on function media_worker.awaits_upload(jsonb, media_worker.mirrored_assets) is
    'Whether a row''s source_url is still to be uploaded.';

create or replace function media_worker.agreed(same boolean) returns jsonb
language sql volatile set search_path = ''
as $$
    select case when same
        then jsonb_build_object('sync_status', 'synced', 'sync_error', null,
                                'last_synced_at', clock_timestamp())
        else '{"sync_status": "pending", "sync_error": null}' end
$$;
comment on function media_worker.agreed(boolean) is
    'What write_assets() is given for a row that is (not yet) the same as its asset.';

create or replace function media_worker.of_cloudinary(found jsonb, mine jsonb) returns jsonb
language sql immutable
as $$
    select coalesce(jsonb_object_agg(c.name, found -> c.name), '{}')
    from unnest(array['asset_id', 'resource_type', 'type', 'format', 'version', 'folder', 'bytes',
                      'width', 'height', 'duration', 'url', 'secure_url', 'etag']) as c(name)
    where found ? c.name and (mine is null or found ->> c.name is distinct from mine ->> c.name)
$$;
comment on function media_worker.of_cloudinary(jsonb, jsonb) is
    'Those values of an asset that Cloudinary alone decides about and that differ from the row''s.';

create or replace function media_worker.stale_etag(found jsonb, mine jsonb) returns jsonb
language sql immutable
as $$
    select case when mine ->> 'etag' is not null and not found ? 'etag'
            and mine ->> 'version' is distinct from found ->> 'version'
        then '{"etag": null}'::jsonb else '{}' end
$$;
comment on function media_worker.stale_etag(jsonb, jsonb) is
    'A row''s etag is that of another version, and listings do not tell the new one: it is not known then.';

create or replace function media_worker.merged(
    mine jsonb, base jsonb, theirs jsonb, changed_at timestamptz, clock jsonb, policy text
) returns jsonb
language sql stable set search_path = ''
as $$
    with field as (
        select f.name, mine -> f.name as mine, theirs -> f.name as theirs,
            case when mine -> f.name in ('null', '[]', '{}') and base is null then false else mine -> f.name is distinct from base -> f.name end as mine_changed,
            theirs -> f.name is distinct from base -> f.name as theirs_changed,
            case policy when 'newest' then
                coalesce((coalesce(clock ->> f.name, clock ->> 'updated_at'))::timestamptz > changed_at, false)
                else policy = 'cloudinary' end as they_win
        from unnest(array['public_id', 'tags', 'context', 'display_name']) as f(name)
        where mine -> f.name is distinct from theirs -> f.name
    ), judged as (
        select f.*, not f.mine_changed or f.theirs_changed and f.they_win as taken,
            f.theirs_changed and f.mine_changed as conflict
        from field as f
    )
    select jsonb_build_object(
        'take', coalesce(jsonb_object_agg(j.name, j.theirs) filter (where j.taken), '{}'),
        'same', coalesce(bool_and(j.taken), true))
        || case when bool_or(j.conflict) then jsonb_build_object(
            'kept', case when bool_and(j.taken) filter (where j.conflict) then 'cloudinary' else 'database' end,
            'lost', jsonb_object_agg(j.name, case when j.taken then j.mine else j.theirs end)
                filter (where j.conflict)) else '{}' end
    from judged as j
$$;
comment on function media_worker.merged(jsonb, jsonb, jsonb, timestamptz, jsonb, text) is
    'The row''s and the asset''s values, field by field, against those they had in common: what the row takes over; whether both are the same then; in a conflict whose value was kept, and those that lost.';

create or replace function media_worker.ways_cleared(plan jsonb) returns jsonb
language sql volatile set search_path = ''
as $$
    select coalesce(jsonb_agg(w.doc), '[]') from (
        select jsonb_build_object('id', p.doc ->> 'dead', 'asset_id', null)
        from jsonb_array_elements(plan) as p(doc)
        where p.doc ->> 'dead' is not null and p.doc ->> 'action' <> 'skip'
        union all
        select jsonb_build_object('id', p.doc ->> 'occupant') || media_worker.marked_deleted()
        from jsonb_array_elements(plan) as p(doc)
        where p.doc ->> 'occupant' is not null and p.doc ->> 'action' = 'rename'
    ) as w(doc)
$$;
comment on function media_worker.ways_cleared(jsonb) is
    'What has to be written first: a deleted row gives its asset_id to the new one; a row whose name another asset has by now is deleted, until its own asset is seen.';

create or replace function media_worker.insert_found(plan jsonb) returns jsonb
language plpgsql security definer set search_path = '' set timezone = 'UTC'
as $$
declare
    numbered jsonb;
begin
    select coalesce(jsonb_agg(case p.doc ->> 'action'
            when 'insert' then p.doc || jsonb_build_object('id', gen_random_uuid()) else p.doc end
            order by p.n), '[]')
    into numbered from jsonb_array_elements(plan) with ordinality as p(doc, n);
    perform media_worker.say_recording(true);
    insert into public.media_assets
        (id, asset_id, public_id, resource_type, type, format, version, folder, display_name, tags,
         context, bytes, width, height, duration, url, secure_url, etag, created_at, updated_at,
         sync_status, last_synced_at)
    select r.id, r.asset_id, r.public_id, r.resource_type, r.type, r.format, r.version, r.folder,
        r.display_name, r.tags, r.context, r.bytes, r.width, r.height, r.duration, r.url,
        r.secure_url, r.etag, coalesce(r.created_at, now()), clock_timestamp(), r.sync_status,
        r.last_synced_at
    from jsonb_array_elements(numbered) as p(doc)
    cross join lateral jsonb_populate_record(null::public.media_assets,
        (p.doc -> 'found') || (p.doc -> 'base') || media_worker.agreed(true)
            || jsonb_build_object('id', p.doc ->> 'id')) as r
    where p.doc ->> 'action' = 'insert';
    perform media_worker.say_recording(false);
    return numbered;
end
$$;
comment on function media_worker.insert_found(jsonb) is
    'Inserts rows for assets that have none; returns the plan with their ids. Raises 23505 where the application has just inserted one.';

create or replace function media_worker.log_mirrored(plan jsonb, source text, looked_at timestamptz)
returns void
language sql security definer set search_path = ''
as $$
    insert into public.media_sync_log
        (operation, status, source, public_id, details, processing_time_ms, error_message)
    select case p.doc ->> 'action' when 'insert' then 'upload' when 'skip' then 'update'
            else p.doc ->> 'action' end,
        case when p.doc ->> 'action' = 'skip' then 'skipped' when p.doc ? 'lost' then 'conflict'
            else 'success' end,
        log_mirrored.source, p.doc -> 'found' ->> 'public_id',
        jsonb_strip_nulls(jsonb_build_object(
            'changed', nullif(p.doc -> 'changed', '{}'), 'kept', p.doc -> 'kept', 'lost', p.doc -> 'lost')),
        (1000 * extract(epoch from clock_timestamp() - looked_at))::integer, p.doc ->> 'why'
    from jsonb_array_elements(plan) as p(doc)
    where p.doc ->> 'action' in ('insert', 'restore') or p.doc ? 'lost' or p.doc ->> 'why' is not null
        or (p.doc -> 'changed') - 'etag' <> '{}'
$$;
comment on function media_worker.log_mirrored(jsonb, text, timestamptz) is
    'A line of media_sync_log for each asset that was new, changed, in conflict or left alone for a reason.';

create or replace function media_worker.mirror_absent(ids uuid[], before timestamptz, source text)
returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    gone uuid[];
begin
    gone := array(
        select a.id from public.media_assets as a join media_worker.mirrored_assets as m on m.id = a.id
        where a.id = any (ids) and a.deleted_at is null and m.looked_at < before
            and not media_worker.awaits_upload(to_jsonb(a), m)
        order by a.id for no key update of a);
    perform media_worker.write_assets((
        select coalesce(jsonb_agg(jsonb_build_object('id', g) || media_worker.marked_deleted()), '[]')
        from unnest(gone) as g));
    insert into public.media_sync_log (operation, status, source, public_id, processing_time_ms)
    select 'delete', 'success', mirror_absent.source, a.public_id::text,
        (1000 * extract(epoch from clock_timestamp() - before))::integer
    from public.media_assets as a where a.id = any (gone) order by a.id;
    return cardinality(gone);
end
$$;
comment on function media_worker.mirror_absent(uuid[], timestamptz, text) is
    'These rows'' assets were looked for then and are not there: the rows are marked deleted, unless they were synced since. Returns how many.';
