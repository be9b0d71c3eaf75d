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
    on conflict on constraint cdn_postponed_pkey do update
    set track_deleted = excluded.track_deleted, since = excluded.since,
        claims = array(select c from unnest(p.claims || excluded.claims) as c
                       group by c order by c)
$$;
comment on function media_worker.postpone_cdn(text[], text[]) is
    'Keeps in mind that these tracks were written, or (with what they claimed) deleted.';

create or replace function media_worker.cdn_reconcile(max_rows integer default 1000)
returns integer
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    picked text[];
    there text[];
    gone text[];
    claims text[];
begin
    if media_worker.first_cdn_target() is null or not media_worker.lead('cdn.reconcile') then
        return 0;
    end if;
    select array_agg(p.track_id) into picked from (
        select w.track_id from media_worker.cdn_postponed as w
        order by w.since limit max_rows for update skip locked) as p;
    -- who is deleting a track just now must see its job rows: that one is left for later
    there := array(
        select t.track_id::text from public.audio_tracks as t
        where t.track_id::text = any (picked) for key share skip locked);
    with ended as (
        delete from media_worker.cdn_postponed as p
        where p.track_hash in (select media_worker.track_hash(g) from unnest(picked) as g)
            and (p.track_id = any (there) or not exists (
                select from media_worker.cdn_tracks as t where t.track_id = p.track_id))
        returning p.track_id, p.track_deleted, p.claims
    )
    select array_agg(e.track_id), array_agg(e.claims::text) into gone, claims
    from ended as e where e.track_deleted and e.track_id <> all (there);
    perform media_worker.request_cdn(there);
    perform media_worker.request_cdn_deletion(gone, claims);
    return cardinality(there) + coalesce(cardinality(gone), 0);
end
$$;
comment on function media_worker.cdn_reconcile(integer) is
    'Asks for the copies of up to max_rows tracks that were written or deleted while no target was known; returns the number of tracks.';

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
