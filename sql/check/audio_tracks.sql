-- check: what rows of audio_tracks say of objects on a CDN target, and how they are mended.

create or replace function media_worker.copy_is_under_way(
    track_id text, target text, running_only boolean default false
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cdn_sync_jobs as j
        where j.track_hash = media_worker.track_hash(copy_is_under_way.track_id)
            and j.target = copy_is_under_way.target
            and (j.claim is not null or (j.status = 'pending' and not running_only)))
$$;
comment on function media_worker.copy_is_under_way(text, text, boolean) is
    'Whether a track''s copy on the target is being made or deleted, or (not running_only) waits for it.';

create or replace function media_worker.check_copy_standing(
    track_id text, target text, running_only boolean
) returns text
language sql stable security definer set search_path = ''
as $$
    select case when media_worker.copy_is_under_way(track_id, target, running_only)
            then 'under way'
        when exists (select from media_worker.cdn_tracks as t
                     where t.track_id = check_copy_standing.track_id and t.enabled) then 'wanted'
        else 'unwanted' end
$$;
comment on function media_worker.check_copy_standing(text, text, boolean) is
    'Whether a track wants its objects on the target: wanted, unwanted or under way.';

create or replace function media_worker.check_copy_claims(track_id text, target text) returns boolean
language sql stable security definer set search_path = ''
as $$
    select not media_worker.copy_is_under_way(track_id, target) and exists (
        select from media_worker.cdn_tracks as t
        where t.track_id = check_copy_claims.track_id
            and media_worker.as_object(t.storage_locations) ->> check_copy_claims.target = 'true')
$$;
comment on function media_worker.check_copy_claims(text, text) is
    'Whether a track still says that its copy is on the target.';

create or replace function media_worker.check_claim_copies(
    run uuid, service text, bucket text, prefix text, suffix text, after text, max_rows integer
) returns text
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    with page as (
        select t.track_id, media_worker.as_object(t.storage_locations) as locations
        from media_worker.cdn_tracks as t
        where t.track_id > after or after is null
        order by t.track_id limit max_rows
    ), noted as (
        insert into media_worker.check_claims
            (run, service, bucket, object_key, owner_table, owner_id, role)
        select check_claim_copies.run, check_claim_copies.service, check_claim_copies.bucket, k.key,
            'audio_tracks', p.track_id, 'audio'
        from page as p cross join concat(prefix, p.track_id, suffix) as k(key)
        where p.locations ->> media_worker.cdn_target_of(check_claim_copies.service) = 'true'
            and octet_length(k.key) <= 1024  -- no object has a longer one
            and not exists (
                select from media_worker.objects as o
                where o.service = check_claim_copies.service
                    and o.bucket = check_claim_copies.bucket and o.object_key = k.key)
        on conflict on constraint check_claims_pkey do nothing
    )
    select max(p.track_id) from page as p
$$;
comment on function media_worker.check_claim_copies(uuid, text, text, text, text, text, integer) is
    'Notes for a check which of the next max_rows tracks say that their audio is on the target, and the ledger knows nothing of it. Returns where the next page begins; null: there are no more tracks.';

create or replace function media_worker.check_named_copies(track_ids text[]) returns setof text
language sql stable security definer set search_path = ''
as $$
    select t.track_id from unnest(track_ids) as g(track_id)
    join media_worker.cdn_tracks as t on t.track_id = g.track_id
    where t.enabled
$$;
comment on function media_worker.check_named_copies(text[]) is
    'Those of the tracks that are there and belong on the CDN.';

create or replace function media_worker.check_mend_copy(o media_worker.objects, finding text)
returns text
language plpgsql security definer set search_path = ''
as $$
declare
    name text := media_worker.cdn_target_of(o.service);
    said text;
begin
    if finding = 'orphan' then
        perform media_worker.request_cdn_on(array[o.owner_id], array[name], not exists (
            select from media_worker.cdn_tracks as t where t.track_id = o.owner_id));
        return 'queued';
    end if;
    said := media_worker.check_disclaim_copy(o.owner_id, name);
    -- without file_path nothing can take the place of what is there
    return case when finding = 'other' and said = 'disclaimed' then 'hopeless' else said end;
end
$$;
comment on function media_worker.check_mend_copy(media_worker.objects, text) is
    'Mends an object on a CDN target; see media_worker.check_mend.';

create or replace function media_worker.check_disclaim_copy(track_id text, target text) returns text
language plpgsql security definer set search_path = ''
as $$
declare
    t media_worker.cdn_tracks;
    j public.cdn_sync_jobs;
    loses_url boolean;
begin
    select * into t from media_worker.cdn_tracks as x where x.track_id = check_disclaim_copy.track_id;
    select * into j from public.cdn_sync_jobs as w
    where w.track_hash = media_worker.track_hash(check_disclaim_copy.track_id)
        and w.target = check_disclaim_copy.target;
    if t.track_id is null or j.claim is not null then
        return 'changed';
    end if;
    loses_url := coalesce(t.cdn_url = j.cdn_url or target = media_worker.first_cdn_target(), false);
    if media_worker.as_object(t.storage_locations) ->> target = 'true' then
        perform media_worker.cdn_write_track(t.track_id,
            media_worker.cdn_locations(media_worker.as_object(t.storage_locations), target, false),
            case when not loses_url then t.cdn_url end,
            case when not loses_url then t.cdn_uploaded_at end);
    end if;
    update public.cdn_sync_jobs as w
    set cdn_url = null, sidecar_cdn_url = null, uploaded_at = null, updated_at = clock_timestamp()
    where w.id = j.id;
    if not t.enabled or coalesce(t.file_path, '') = '' then
        return 'disclaimed';
    end if;
    perform media_worker.request_cdn_on(array[t.track_id], array[check_disclaim_copy.target]);
    return 'asked again';
end
$$;
comment on function media_worker.check_disclaim_copy(text, text) is
    'The track says no more that its copy is on the target, and it is sent again; see media_worker.check_mend.';
