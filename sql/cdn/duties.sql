-- cdn: what workers do besides their runs, and what they find to do there.

create or replace function media_worker.postpone_cdn(track_ids text[], claims text[] default null)
returns void
language sql security definer set search_path = ''
as $$
    insert into media_worker.cdn_postponed as p (track_hash, track_id, track_deleted, claims)
    select media_worker.track_hash(g.track_id), g.track_id, postpone_cdn.claims is not null,
        coalesce(g.claims::text[], '{}')
    from unnest(track_ids, postpone_cdn.claims) as g(track_id, claims)
    order by g.track_id
    on conflict (track_hash) where not overlooked do update
    set track_deleted = excluded.track_deleted, since = excluded.since,
        claims = array(select c from unnest(p.claims || excluded.claims) as c
                       group by c order by c)
$$;
comment on function media_worker.postpone_cdn(text[], text[]) is
    'Keeps in mind that these tracks were written, or (with what they claimed) deleted.';

create or replace function media_worker.lock_free_copies(track_ids text[]) returns setof text
language sql security definer set search_path = ''
as $$
    with track as materialized (
        select t.track_id::text as id from public.audio_tracks as t
        where t.track_id::text = any (track_ids)
        order by t.track_id::text for no key update skip locked
    ), job as materialized (
        select media_worker.lock_free_copy_jobs(track_ids) as track_id
    )
    select job.track_id from job
    where job.track_id in (select track.id from track)
        or not exists (
            select from public.audio_tracks as t where t.track_id::text = job.track_id)
$$;
comment on function media_worker.lock_free_copies(text[]) is
    'Locks the tracks and their job rows, and returns those that no other transaction holds: one that is held must not keep the others waiting.';

create or replace function media_worker.lock_free_copy_jobs(track_ids text[]) returns setof text
language sql security definer set search_path = ''
as $$
    with job as materialized (
        select j.id from public.cdn_sync_jobs as j
        where j.track_hash = any (array(
            select media_worker.track_hash(g) from unnest(track_ids) as g))
        order by j.track_id, j.target for no key update skip locked
    )
    select given.track_id from unnest(track_ids) as given (track_id)
    where not exists (
        select from public.cdn_sync_jobs as j
        where j.track_hash = media_worker.track_hash(given.track_id)
            and j.id not in (select job.id from job))
$$;
comment on function media_worker.lock_free_copy_jobs(text[]) is
    'Locks the job rows of tracks, and returns the tracks of whose rows no other transaction holds one.';

create or replace function media_worker.cdn_reconcile(max_rows integer default 1000)
returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    picked bigint[];
    there text[];
    gone text[];
    claims text[];
begin
    if media_worker.first_cdn_target() is null or not media_worker.lead('cdn.reconcile') then
        return 0;
    end if;
    with note as materialized (
        select w.id, w.track_id from media_worker.cdn_postponed as w
        order by w.since limit max_rows for update skip locked
    ), free as materialized (
        select media_worker.lock_free_copies(array_agg(distinct note.track_id)) as id from note
    )
    select array_agg(n.id) into picked from note as n where n.track_id in (select free.id from free);
    there := array(
        select distinct t.track_id from media_worker.cdn_tracks as t
        join media_worker.cdn_postponed as p on p.track_id = t.track_id
        where p.id = any (picked));
    with ended as (
        delete from media_worker.cdn_postponed as p where p.id = any (picked)
        returning p.id, p.track_id, p.track_deleted, p.claims, p.since
    ), lost as (
        select e.track_id, array_agg(distinct c.claim) filter (where c.claim is not null) as claims
        from ended as e left join unnest(e.claims) as c (claim) on true
        where e.track_id <> all (there)
        group by e.track_id
        -- what was seen last counts: a row that is merely not visible is not taken for deleted
        having (array_agg(e.track_deleted order by e.since desc, e.id desc))[1]
    )
    select array_agg(l.track_id), array_agg(coalesce(l.claims, '{}')::text)
    into gone, claims from lost as l;
    perform media_worker.request_cdn(there);
    perform media_worker.request_cdn_deletion(gone, claims);
    return cardinality(there) + coalesce(cardinality(gone), 0);
end
$$;
comment on function media_worker.cdn_reconcile(integer) is
    'Asks for the copies of tracks that were written or deleted while no target was known, or while others held their work; up to max_rows notes. Returns the number of tracks. Those that are held still wait for the next time.';

create or replace function media_worker.cdn_mend(o media_worker.objects, exists_ boolean)
returns text
language plpgsql security definer set search_path = ''
as $$
declare
    place text := substr(o.service, length('cdn:') + 1);
    t media_worker.cdn_tracks;
    j public.cdn_sync_jobs;
    wanted text;
    withdrawn boolean;
begin
    perform from public.audio_tracks as x where x.track_id::text = o.owner_id for no key update;
    select * into t from media_worker.cdn_tracks as x where x.track_id = o.owner_id;
    select * into j from public.cdn_sync_jobs as w
    where w.track_hash = media_worker.track_hash(o.owner_id) and w.target = place;
    wanted := media_worker.cdn_wanted(o.owner_id, place, coalesce(j.track_deleted, false));
    withdrawn := coalesce(media_worker.as_object(t.storage_locations) ->> place = 'true'
                          and (wanted <> 'nothing' or not exists_), false);
    if withdrawn then
        perform media_worker.cdn_write_track(t.track_id,
            media_worker.cdn_locations(media_worker.as_object(t.storage_locations), place, false),
            nullif(t.cdn_url, j.cdn_url),
            case when t.cdn_url is distinct from j.cdn_url then t.cdn_uploaded_at end);
    end if;
    if wanted = 'upload' then
        perform media_worker.request_cdn_on(array[o.owner_id], array[place]);
        return 'uploaded again';
    elsif (wanted = 'delete' and exists_) or (wanted = 'nothing' and withdrawn) then
        perform media_worker.request_cdn_on(array[o.owner_id], array[place], t.track_id is null);
        return 'deleted';
    end if;
    return case when exists_ then 'left as it is' else 'forgotten' end;
end
$$;
comment on function media_worker.cdn_mend(media_worker.objects, boolean) is
    'A copy is not what the ledger says: the track claims it no more until it is uploaded again; a copy that is not wanted goes.';
