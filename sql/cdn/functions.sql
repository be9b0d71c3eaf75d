-- cdn: which targets there are, what a track claims, and requests for work.

create or replace function media_worker.track_hash(track_id text) returns bytea
language sql immutable
as $$ select sha256(replace(track_id, E'\\', E'\\\\')::bytea) $$;
comment on function media_worker.track_hash(text) is
    'SHA-256 of a track_id, by which cdn_sync_jobs finds it: see its column track_hash.';

create or replace function media_worker.as_json(given text) returns jsonb
language plpgsql immutable set search_path = ''
as $$
begin
    return given::jsonb;
exception when others then
    return null;  -- json may hold what jsonb does not take
end
$$;
comment on function media_worker.as_json(text) is 'The JSON that the text is; null if it is none.';

create or replace function media_worker.as_object(given text) returns jsonb
language sql immutable set search_path = ''
as $$
    select case when jsonb_typeof(j) = 'object' then j else '{}' end
    from media_worker.as_json(given) as j
$$;
comment on function media_worker.as_object(text) is
    'The JSON object that the text is; an empty one for anything else, and for null.';

-- Targets ---------------------------------------------------------------------------------------

create or replace function media_worker.cdn_configure(targets text[]) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    with wanted as (
        select w.name, min(w.position)::integer as position
        from unnest(targets) with ordinality as w(name, position) group by w.name
    ), written as (
        insert into media_worker.cdn_targets as c (name, position)
        select w.name, w.position from wanted as w
        where not exists (select from media_worker.cdn_targets as c
                          where c.active and c.name = w.name and c.position = w.position)
        order by w.name
        on conflict on constraint cdn_targets_pkey do update
        set position = excluded.position, active = true, updated_at = clock_timestamp()
    )
    update media_worker.cdn_targets as c set active = false, updated_at = clock_timestamp()
    where c.active and c.name not in (select w.name from wanted as w)
$$;
comment on function media_worker.cdn_configure(text[]) is
    'Tells the triggers which CDN targets there are, in the order of the settings.';

create or replace function media_worker.first_cdn_target() returns text
language sql stable set search_path = ''
as $$
    select c.name from media_worker.cdn_targets as c where c.active
    order by c.position, c.name limit 1
$$;
comment on function media_worker.first_cdn_target() is 'The target whose URL audio_tracks.cdn_url is.';

-- What a track claims ------------------------------------------------------------------------------

create or replace function media_worker.cdn_claims(storage_locations text, cdn_url text)
returns text[]
language sql immutable set search_path = ''
as $$
    select array(select l.key from jsonb_each_text(media_worker.as_object(storage_locations)) as l
                 where l.value = 'true' and l.key <> 'supabase' order by l.key)
        || case when cdn_url <> '' then array['*'] else '{}' end
$$;
comment on function media_worker.cdn_claims(text, text) is
    'The targets on which a track says that it has a copy; * for any: it has a cdn_url.';

create or replace function media_worker.cdn_locations(
    given jsonb, place text, is_there boolean, since text default null
) returns jsonb
language sql immutable set search_path = ''
as $$
    select given || jsonb_build_object(place, is_there, 'upload_timestamps',
        case when jsonb_typeof(given -> 'upload_timestamps') = 'object'
            then (given -> 'upload_timestamps') - place else '{}' end
        || case when since is null then '{}' else jsonb_build_object(place, since) end)
$$;
comment on function media_worker.cdn_locations(jsonb, text, boolean, text) is
    'storage_locations with another word on one place, and since when a copy is there.';

create or replace function media_worker.cdn_version(
    file_path text, sidecar_path text, metadata text, enabled boolean
) returns text
language sql stable set search_path = ''
as $$
    select encode(sha256(convert_to(
        jsonb_build_array(file_path, sidecar_path, metadata, enabled)::text, 'UTF8')), 'hex')
$$;
comment on function media_worker.cdn_version(text, text, text, boolean) is
    'Names what a copy of a track is made from: a run records only what still answers it.';

-- Requests --------------------------------------------------------------------------------------

create or replace function media_worker.request_cdn(
    track_ids text[], deleted boolean default false, behind boolean default false
) returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    asked text[];
    targets text[];
begin
    if deleted then
        return query select r from media_worker.request_cdn_deletion(track_ids) as r;
        return;
    elsif media_worker.first_cdn_target() is null then
        perform media_worker.postpone_cdn(array(
            select t.track_id from unnest(track_ids) as g(track_id)
            join media_worker.cdn_tracks as t on t.track_id = g.track_id
            where t.enabled and t.file_path <> ''
                or cardinality(media_worker.cdn_claims(t.storage_locations, t.cdn_url)) > 0));
    end if;
    select array_agg(p.track_id), array_agg(p.target) into asked, targets
    from media_worker.cdn_pairs(track_ids) as p;
    return query select r from media_worker.request_cdn_on(asked, targets, false, behind) as r;
end
$$;
comment on function media_worker.request_cdn(text[], boolean, boolean) is
    'Asks for the copies of tracks to be made to agree with them: a job row for each and target, pending; one that runs already is run once more. deleted: a DELETE of the tracks was seen. behind: after all new work. Returns the job rows'' ids.';

create or replace function media_worker.cdn_pairs(track_ids text[])
returns table (track_id text, target text)
language sql stable security definer set search_path = ''
as $$
    select t.track_id, c.name
    from unnest(track_ids) as g(track_id)
    join media_worker.cdn_tracks as t on t.track_id = g.track_id
    cross join media_worker.cdn_targets as c
    where c.active
        and case when t.enabled then t.file_path <> ''
            else array[c.name, '*'] && media_worker.cdn_claims(t.storage_locations, t.cdn_url) end
    union
    select t.track_id, j.target
    from unnest(track_ids) as g(track_id)
    join media_worker.cdn_tracks as t on t.track_id = g.track_id
    join public.cdn_sync_jobs as j on j.track_hash = media_worker.track_hash(t.track_id)
    where not t.enabled or t.file_path <> ''
$$;
comment on function media_worker.cdn_pairs(text[]) is
    'Where these tracks are to have a copy, or may have one that is not wanted: each with its targets.';

create or replace function media_worker.request_cdn_on(
    track_ids text[], targets text[], deleted boolean default false, behind boolean default false
) returns setof uuid
language sql security definer set search_path = ''
as $$
    insert into public.cdn_sync_jobs as j
        (track_id, target, operation, file_path, sidecar_path, service, due_by, track_deleted,
         wanted_since)
    select a.track_id, a.target,
        case when t.enabled and t.file_path <> '' and not deleted then 'upload' else 'delete' end,
        t.file_path, t.sidecar_path, 'cdn:' || a.target,
        clock_timestamp() + case when behind then interval '1 day' else interval '5 minutes' end,
        deleted, clock_timestamp()
    from (select distinct g.track_id, g.target
          from unnest(track_ids, targets) as g(track_id, target)) as a
    left join media_worker.cdn_tracks as t on t.track_id = a.track_id
    where deleted or t.track_id is not null
    order by a.track_id, a.target
    on conflict on constraint cdn_sync_jobs_one_per_target do update
    set status = 'pending', next_attempt_at = null, parked = false, crashes = 0,
        crashes_alone = 0,
        attempts = case when j.claim is null then 0 else j.attempts end,
        error_message = null, started_at = case when j.claim is not null then j.started_at end,
        completed_at = null, operation = excluded.operation, service = excluded.service,
        file_path = coalesce(excluded.file_path, j.file_path),
        sidecar_path = case when excluded.file_path is null then j.sidecar_path
            else excluded.sidecar_path end,
        -- what is queued already keeps its place, or moves forward
        due_by = case when j.runnable then least(j.due_by, excluded.due_by)
            else excluded.due_by end,
        track_deleted = excluded.track_deleted, wanted_since = excluded.wanted_since,
        updated_at = clock_timestamp()
    returning j.id
$$;
comment on function media_worker.request_cdn_on(text[], text[], boolean, boolean) is
    'Asks for the copy of each track on the target at the same place of the other list to be made to agree with it; see media_worker.request_cdn().';

create or replace function media_worker.request_cdn_deletion(
    track_ids text[], claims text[] default '{}'
) returns setof uuid
language plpgsql security definer set search_path = ''
as $$
declare
    back text[];
    asked text[];
    targets text[];
begin
    -- inserted again by the same statement, or since: that row counts
    select array_agg(t.track_id) into back from unnest(track_ids) as g(track_id)
    join media_worker.cdn_tracks as t on t.track_id = g.track_id
    where t.enabled and t.file_path <> '';
    if back is not null then
        return query select r from media_worker.request_cdn(back) as r;
    end if;
    select array_agg(p.track_id), array_agg(p.target) into asked, targets from (
        select g.track_id, c.name as target
        from unnest(track_ids, claims) as g(track_id, claims)
        join media_worker.cdn_targets as c
            on c.name = any (g.claims::text[]) or (c.active and '*' = any (g.claims::text[]))
        union
        select j.track_id, j.target from unnest(track_ids) as g(track_id)
        join public.cdn_sync_jobs as j on j.track_hash = media_worker.track_hash(g.track_id)
    ) as p
    where not exists (select from unnest(back) as b where b = p.track_id);
    return query select r from media_worker.request_cdn_on(asked, targets, true) as r;
    if media_worker.first_cdn_target() is null then
        perform media_worker.postpone_cdn(track_ids, claims);
        delete from media_worker.cdn_postponed as p
        where p.track_hash in (select media_worker.track_hash(g) from unnest(track_ids) as g)
            and p.track_deleted and p.claims = '{}' and not p.overlooked;
    end if;
end
$$;
comment on function media_worker.request_cdn_deletion(text[], text[]) is
    'Asks for the deletion of what deleted tracks have on CDN targets: where they have a job row, and where they claimed a copy (claims: an array literal for each). Returns the job rows'' ids.';
