-- check: what the database says is in a bucket, in the order in which buckets list.
-- What rows of one table want of their objects stands in a file of its own: tracks.sql, …; what is
-- at Cloudinary in assets.sql.

create or replace function media_worker.check_begin(older_than interval) returns timestamptz
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    delete from media_worker.check_claims as c
    where c.noted_at < clock_timestamp() - interval '2 days';  -- of checks that were killed
    delete from media_worker.check_seen_assets as s
    where s.noted_at < clock_timestamp() - interval '2 days';
    select clock_timestamp() - older_than
$$;
comment on function media_worker.check_begin(interval) is
    'Returns the cut-off: what was touched after it may be on its way, and is no finding.';

create or replace function media_worker.check_end(run uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    delete from media_worker.check_claims as c where c.run = check_end.run;
    delete from media_worker.check_seen_assets as s where s.run = check_end.run;
$$;
comment on function media_worker.check_end(uuid) is 'A check has ended: what it noted is forgotten.';

create or replace function media_worker.check_page(
    run uuid, service text, bucket text, after text, below text, cut_off timestamptz, max_rows integer
)
returns table (object_id bigint, object_key text, owner_table text, owner_id text, role text,
               state text, bytes bigint, sha256 text, etag text, updated_at timestamptz,
               standing text)
language plpgsql stable security definer set search_path = ''
as $$
declare
    keys text[];
begin
    select array_agg(k.key) into keys from (
        select known.key from (
            (select o.object_key collate "C" as key from media_worker.objects as o
             where o.service = check_page.service and o.bucket = check_page.bucket
                 and o.object_key collate "C" > after
                 and (below is null or o.object_key collate "C" < below)
             order by o.object_key collate "C" limit max_rows)
            union
            (select c.object_key from media_worker.check_claims as c
             where c.run = check_page.run and c.service = check_page.service
                 and c.bucket = check_page.bucket and c.object_key > after
                 and (below is null or c.object_key < below)
             order by c.object_key limit max_rows)
        ) as known
        order by known.key limit max_rows
    ) as k;
    return query
    select r.* from media_worker.check_rows(run, service, bucket, keys, cut_off) as r
    order by r.object_key collate "C", r.object_id;
end
$$;
comment on function media_worker.check_page(uuid, text, text, text, text, timestamptz, integer) is
    'The next keys of a bucket, in byte order, of which the ledger or a row says that something is there: all that is known of up to max_rows keys after and below these.';

create or replace function media_worker.check_rows(
    run uuid, service text, bucket text, keys text[], cut_off timestamptz
)
returns table (object_id bigint, object_key text, owner_table text, owner_id text, role text,
               state text, bytes bigint, sha256 text, etag text, updated_at timestamptz,
               standing text)
language sql stable security definer set search_path = ''
as $$
    select o.id, o.object_key, o.owner_table, o.owner_id, o.role, o.state, o.bytes, o.sha256,
        o.etag, o.updated_at, media_worker.check_standing(o, cut_off)
    from media_worker.objects as o
    where o.service = check_rows.service and o.bucket = check_rows.bucket
        and o.object_key = any (keys)
    union all
    select null, c.object_key, c.owner_table, c.owner_id, c.role, 'claimed', null, null, null, null,
        media_worker.check_claim_standing(c)
    from media_worker.check_claims as c
    where c.run = check_rows.run and c.service = check_rows.service
        and c.bucket = check_rows.bucket and c.object_key = any (keys)
        and not exists (
            select from media_worker.objects as o
            where o.service = check_rows.service and o.bucket = check_rows.bucket
                and o.object_key = c.object_key)
$$;
comment on function media_worker.check_rows(uuid, text, text, text[], timestamptz) is
    'What the ledger and rows say of these keys now. object_id is null where the ledger knows nothing; standing: wanted, unwanted (no row wants the object), or under way.';

create or replace function media_worker.check_standing(
    o media_worker.objects, cut_off timestamptz, running_only boolean default false
) returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
    if o.claim is not null or o.recheck_at is not null or o.updated_at > cut_off
        or (o.doomed and exists (
            select from public.storage_cleanup_queue as q
            where q.object_key = o.object_key and q.status <> 'completed'
                and q.status in ('pending', 'processing')
                and q.service = o.service and q.bucket = o.bucket)) then
        return 'under way';
    end if;
    return case o.owner_table
        when 'tracks' then media_worker.check_track_standing(
            o.owner_id::uuid, o.role, o.object_key, running_only)
        when 'audio_tracks' then media_worker.check_copy_standing(
            o.owner_id, media_worker.cdn_target_of(o.service), running_only)
        else 'under way' end;
end
$$;
comment on function media_worker.check_standing(media_worker.objects, timestamptz, boolean) is
    'Whether a row wants an object of ours (wanted, unwanted), or something is under way with it; running_only: work of its owner that waits does not count.';

create or replace function media_worker.check_claim_standing(c media_worker.check_claims) returns text
language plpgsql stable security definer set search_path = ''
as $$
begin
    return case when case c.owner_table
            when 'tracks' then media_worker.check_track_claims(c.owner_id::uuid, c.role, c.url)
            when 'audio_tracks' then media_worker.check_copy_claims(
                c.owner_id, media_worker.cdn_target_of(c.service)) end
        then 'wanted' else 'under way' end;
end
$$;
comment on function media_worker.check_claim_standing(media_worker.check_claims) is
    'Whether a row still says that a file of its is at that key (wanted), or has changed since.';

create or replace function media_worker.check_claim(
    run uuid, services text[], buckets text[], keys text[], owner_table text, owner_ids text[],
    roles text[], urls text[]
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    insert into media_worker.check_claims
        (run, service, bucket, object_key, owner_table, owner_id, role, url)
    select check_claim.run, c.service, c.bucket, c.key, check_claim.owner_table, c.owner_id, c.role, c.url
    from unnest(services, buckets, keys, owner_ids, roles, urls)
        as c(service, bucket, key, owner_id, role, url)
    on conflict on constraint check_claims_pkey do nothing
$$;
comment on function media_worker.check_claim(uuid, text[], text[], text[], text, text[], text[], text[]) is
    'Notes for a check at which keys rows say that files of theirs are.';

-- Repair: one object a call, and only if everything is still as it was when it was looked at ------

create or replace function media_worker.check_mend(object_id bigint, seen timestamptz, finding text)
returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    o media_worker.objects;
    standing text;
begin
    select * into o from media_worker.objects as x where x.id = object_id;
    perform media_worker.check_lock(o.owner_table, o.owner_id);
    select * into o from media_worker.objects as x
    where x.id = object_id and x.updated_at = seen for no key update;
    -- what waits will see what is done here: one track may have several files to be mended
    standing := media_worker.check_standing(o, 'infinity', true);
    if o.id is null or standing = 'under way'
        or (finding = 'other' and standing = 'unwanted')
        or (finding = 'orphan' and standing = 'wanted') then
        return 'changed';
    elsif finding = 'missing' then
        delete from media_worker.objects as x where x.id = o.id;
    elsif finding = 'other' then
        update media_worker.objects as x set state = 'intent', updated_at = clock_timestamp()
        where x.id = o.id;
    end if;
    if finding = 'missing' and standing = 'unwanted' then
        return 'forgotten';
    end if;
    return case o.owner_table
        when 'tracks' then media_worker.check_mend_track(o, finding)
        when 'audio_tracks' then media_worker.check_mend_copy(o, finding) end;
end
$$;
comment on function media_worker.check_mend(bigint, timestamptz, text) is
    'Begins the repair of an object that the ledger knows (finding: missing, orphan; other: it differs). Returns asked again; disclaimed (the row says no more that the file is there, and that is all); queued (its deletion); forgotten (by the ledger); hopeless (the source is what is missing); or changed: it is not as it was seen, and nothing was done.';

create or replace function media_worker.check_disclaim(
    run uuid, service text, bucket text, object_key text, owner_table text, owner_id text, role text
) returns text
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    c media_worker.check_claims;
begin
    select * into c from media_worker.check_claims as x
    where x.run = check_disclaim.run and x.service = check_disclaim.service
        and x.bucket = check_disclaim.bucket and x.object_key = check_disclaim.object_key
        and x.owner_table = check_disclaim.owner_table and x.owner_id = check_disclaim.owner_id
        and x.role = check_disclaim.role;
    perform media_worker.check_lock(c.owner_table, c.owner_id);
    if c.run is null or exists (
        select from media_worker.objects as o
        where o.service = c.service and o.bucket = c.bucket and o.object_key = c.object_key) then
        return 'changed';
    end if;
    return case c.owner_table
        when 'tracks' then media_worker.check_disclaim_track(c.owner_id::uuid, c.role, c.url)
        when 'audio_tracks' then media_worker.check_disclaim_copy(
            c.owner_id, media_worker.cdn_target_of(c.service)) end;
end
$$;
comment on function media_worker.check_disclaim(uuid, text, text, text, text, text, text) is
    'Begins the repair of a row of which a check has noted that it says that a file is where nothing is, and of which the ledger knows nothing. Returns as media_worker.check_mend.';

create or replace function media_worker.check_lock(owner_table text, owner_id text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    if owner_table = 'tracks' then
        perform from public.tracks as t where t.id = owner_id::uuid for no key update;
        perform from public.track_archiving_jobs as j
        where j.track_id = owner_id::uuid for no key update;
    elsif owner_table = 'audio_tracks' then
        perform from public.audio_tracks as t where t.track_id::text = owner_id for no key update;
        perform from public.cdn_sync_jobs as j
        where j.track_hash = media_worker.track_hash(owner_id) order by j.target for no key update;
    end if;
end
$$;
comment on function media_worker.check_lock(text, text) is
    'Locks the row that an object belongs to, and its work rows: before the ledger''s, as everybody does.';

create or replace function media_worker.cdn_target_of(service text) returns text
language sql immutable
as $$ select substr(service, length('cdn:') + 1) $$;
comment on function media_worker.cdn_target_of(text) is 'The CDN target that a service is.';

-- The daily check, and what has come of checks ------------------------------------------------------

create or replace function media_worker.check_turn(at time, worker uuid) returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
begin
    update media_worker.check_turns as t
    set slot = due.slot, worker_id = worker, ended = false,
        tries = case when t.slot < due.slot then 1 else t.tries + 1 end
    from (select media_worker.last_daily_slot(at) as slot) as due
    where t.slot < due.slot
        -- whoever had it broke off; but what kills its worker is not tried for ever
        or (not t.ended and t.tries < 3 and (t.worker_id = worker or not exists (
            select from media_worker.workers as w
            where w.worker_id = t.worker_id and media_worker.is_alive(w))));
    return found;
end
$$;
comment on function media_worker.check_turn(time, uuid) is
    'True for the one worker that is to carry out the check of the last slot (04:00, say): one that was missed is made up for, one that was broken off begins anew, three times at most.';

create or replace function media_worker.check_turn_ended(worker uuid) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.check_turns as t set ended = true where t.worker_id = worker
$$;
comment on function media_worker.check_turn_ended(uuid) is 'The daily check was carried out.';

create or replace function media_worker.check_record(results jsonb) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    delete from media_worker.check_results as r
    where r.checked_at < clock_timestamp() - interval '30 days';  -- of places that are no more
    insert into media_worker.check_results as r (place, objects, counts, repaired, error_message)
    select n.place, n.objects, n.counts, n.repaired, n.error_message
    from jsonb_to_recordset(results)
        as n(place text, objects bigint, counts jsonb, repaired bigint, error_message text)
    order by n.place
    on conflict on constraint check_results_pkey do update
    set checked_at = clock_timestamp(), objects = excluded.objects, counts = excluded.counts,
        repaired = excluded.repaired, error_message = excluded.error_message
$$;
comment on function media_worker.check_record(jsonb) is
    'Keeps what a check has shown: [{place, objects, counts, repaired, error_message}].';
