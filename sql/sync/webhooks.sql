-- sync: notifications from Cloudinary.

create or replace function media_worker.webhook_store(
    digest bytea, notification_type text, body text, sent_at timestamptz
) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
    stored uuid;
begin
    insert into public.media_webhook_events as e
        (digest, notification_type, body, sent_at, due_by, next_attempt_at)
    values (digest, notification_type, body, sent_at, clock_timestamp() + interval '1 minute',
            -- of a flood, what is promoted together is looked at together: calls are few
            case when (select count(*) from (
                select from public.media_webhook_events as w where w.runnable limit 5) as w) = 5
            then clock_timestamp() end)
    on conflict on constraint media_webhook_events_come_once do nothing
    returning e.id into stored;
    if stored is null then
        perform media_worker.log_sync('webhook', 'skipped', 'webhook', null,
            jsonb_build_object('type', notification_type), error_message => 'it had come before');
    end if;
    return stored;
end
$$;
comment on function media_worker.webhook_store(bytea, text, text, timestamptz) is
    'Keeps a notification that was verified, to be applied by a worker; null: it had come before.';

create or replace function media_worker.webhook_refused(reason text) returns void
language sql security definer set search_path = ''
as $$
    -- whoever may send anything must not be able to fill the log
    select media_worker.log_sync('webhook', 'error', 'webhook', null, error_message => reason)
    where (select count(*) from (
        select from public.media_sync_log as l
        where l.created_at > clock_timestamp() - interval '1 minute'
            and l.operation = 'webhook' and l.status = 'error' limit 100) as recent) < 100
$$;
comment on function media_worker.webhook_refused(text) is
    'Logs a notification that was not accepted; at most 100 of them a minute.';

create or replace function media_worker.webhook_load(ids uuid[], token uuid)
returns table (id uuid, notification_type text, body text, sent_at timestamptz)
language sql stable security definer set search_path = ''
as $$
    select e.id, e.notification_type, e.body, e.sent_at from public.media_webhook_events as e
    where e.id = any (ids) and e.claim = token order by e.sent_at, e.created_at
$$;
comment on function media_worker.webhook_load(uuid[], uuid) is 'Claimed notifications, the oldest first.';

create or replace function media_worker.webhook_ended(
    token uuid, ids uuid[], outcomes text[], messages text[]
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    with ended as (
        update public.media_webhook_events as e
        set outcome = outcomes[array_position(ids, e.id)]
        where e.id = any (ids) and e.claim = token
        returning e.id, e.outcome, e.notification_type
    )
    insert into public.media_sync_log (operation, status, source, details, error_message)
    select 'webhook', 'skipped', 'webhook', jsonb_build_object('type', e.notification_type),
        messages[array_position(ids, e.id)]
    from ended as e where messages[array_position(ids, e.id)] is not null order by e.id
$$;
comment on function media_worker.webhook_ended(uuid, uuid[], text[], text[]) is
    'What came of claimed notifications; those with a message are logged as skipped.';

create or replace function media_worker.known_assets(names jsonb) returns setof jsonb
language sql stable security definer set search_path = '' set timezone = 'UTC'
as $$
    select jsonb_build_object('id', a.id, 'public_id', a.public_id,
        'resource_type', coalesce(m.base ->> 'resource_type', a.resource_type::text),
        'type', coalesce(m.base ->> 'type', a.type::text), 'asset_id', a.asset_id, 'version', a.version, 'base', m.base,
        'busy', exists (select from media_worker.asset_pushes as p
                        where p.asset = a.id and p.claim is not null))
    from public.media_assets as a left join media_worker.mirrored_assets as m on m.id = a.id
    where a.deleted_at is null and a.id in (
        select x.id from public.media_assets as x
        where x.asset_id in (select n.doc ->> 'asset_id' from jsonb_array_elements(names) as n(doc))
        union
        select x.id from jsonb_array_elements(names) as n(doc)
        cross join unnest(array['image', 'video', 'raw']) as r(resource_type)
        join public.media_assets as x on x.deleted_at is null
            and media_worker.asset_key(media_worker.plain(x.resource_type), media_worker.plain(x.type), x.public_id::text)
                = media_worker.asset_key(coalesce(n.doc ->> 'resource_type', r.resource_type),
                                         coalesce(n.doc ->> 'type', 'upload'), n.doc ->> 'public_id'))
$$;
comment on function media_worker.known_assets(jsonb) is
    'The live rows of assets named by public_id (resource_type and type where these are known) or by asset_id; busy: a push is running.';

create or replace function media_worker.was_deleted(resource_type text, type text, public_id text)
returns boolean
language sql stable security definer set search_path = ''
as $$
    select media_worker.deletion_is_open(resource_type, type, public_id) or exists (
        select from media_worker.deleted_assets as d
        where d.key = media_worker.asset_key(resource_type, type, public_id))
$$;
comment on function media_worker.was_deleted(text, text, text) is
    'Whether the asset''s deletion was ever asked for: what an old notification says of it counts for nothing.';

create or replace function media_worker.forget_deleted_assets(days integer) returns integer
language sql security definer set search_path = ''
as $$
    with gone as (
        delete from media_worker.deleted_assets as d
        where d.deleted_at < clock_timestamp() - make_interval(days => days) returning 1
    )
    select count(*)::integer from gone
$$;
comment on function media_worker.forget_deleted_assets(integer) is
    'Forgets deletions older than that: nothing that was seen before them is on its way any more.';
