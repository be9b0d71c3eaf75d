-- sync: what happens when media_assets are written. Triggers never fail the write.

select media_worker.attach_work_table('public.media_sync_runs');
select media_worker.attach_work_table('public.media_webhook_events');
select media_worker.attach_work_table('media_worker.asset_pushes');

create or replace function media_worker.tg_media_asset__before() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if media_worker.is_recording() then
        return new;
    end if;
    new.resource_type := coalesce(new.resource_type, 'image');
    new.type := coalesce(new.type, 'upload');
    new.tags := coalesce(new.tags, '{}');
    new.context := coalesce(new.context, '{}');
    if new.public_id is null and tg_op = 'INSERT' then
        new.public_id := concat_ws('/', nullif(trim(new.folder::text, '/'), ''), new.id);
    elsif new.public_id is null then
        new.public_id := old.public_id;
    end if;
    if tg_op = 'INSERT' or (new.deleted_at is null and (
            new.sync_status = 'pending' and old.sync_status <> 'pending'
            or (old.deleted_at, old.public_id::text, old.tags::text, old.context::text,
                    old.display_name::text, old.resource_type, old.type, old.source_url::text)
                is distinct from (new.deleted_at, new.public_id::text, new.tags::text,
                    new.context::text, new.display_name::text, new.resource_type, new.type,
                    new.source_url::text)
                -- another order of tags is no change
                and media_worker.push_state(to_jsonb(old))
                    <> media_worker.push_state(to_jsonb(new)))) then
        new.sync_status := 'pending';
        new.sync_error := null;
    else
        new.sync_status := old.sync_status;
        new.sync_error := old.sync_error;
    end if;
    new.updated_at := clock_timestamp();
    return new;
exception when others then
    raise warning 'media_worker: asset % is as it was given: %', new.id, sqlerrm;
    return new;
end
$$;
comment on function media_worker.tg_media_asset__before() is
    'How far row and asset are the same is written by Media Worker; what the application changes is pending. What it leaves null has its default.';

create or replace function media_worker.push_state(doc jsonb) returns jsonb
language sql immutable
as $$
    select media_worker.asset_fields(doc) || jsonb_build_object(
        'source_url', doc ->> 'source_url', 'deleted', doc ->> 'deleted_at' is not null)
$$;
comment on function media_worker.push_state(jsonb) is
    'Of a row of media_assets, what the application may change to have the asset changed.';

create or replace trigger zz_media_worker_asset_insert before insert on public.media_assets
for each row execute function media_worker.tg_media_asset__before();
create or replace trigger zz_media_worker_asset_update before update on public.media_assets
for each row execute function media_worker.tg_media_asset__before();

create or replace function media_worker.request_pushes(ids uuid[]) returns void
language sql security definer set search_path = ''
as $$
    insert into media_worker.asset_pushes as p (asset, due_by)
    select i.id, clock_timestamp() + interval '1 minute' from unnest(ids) as i(id) order by i.id
    on conflict on constraint asset_pushes_asset_key do update
    set status = 'pending', next_attempt_at = null, attempts = 0, changed_at = clock_timestamp(),
        due_by = least(p.due_by, excluded.due_by)
$$;
comment on function media_worker.request_pushes(uuid[]) is
    'These rows of media_assets were changed and are to be made the same at Cloudinary.';

create or replace function media_worker.tg_media_assets__after_insert() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into media_worker.media_counts (resource_type, sync_status, number, bytes)
    select coalesce(n.resource_type::text, ''), coalesce(n.sync_status::text, ''), count(*),
        coalesce(sum(n.bytes), 0)
    from new_rows as n where n.deleted_at is null group by 1, 2;
    if not media_worker.is_recording() then
        perform media_worker.request_pushes(array(
            select n.id from new_rows as n where n.deleted_at is null));
    end if;
    return null;
exception when others then
    raise warning 'media_worker: asking for the sync of assets failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_media_assets__after_insert() is
    'Has inserted rows made the same at Cloudinary.';

create or replace function media_worker.tg_media_assets__after_update() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into media_worker.media_counts (resource_type, sync_status, number, bytes)
    select x.resource_type, x.sync_status, sum(x.number), sum(x.bytes) from (
        select coalesce(n.resource_type::text, ''), coalesce(n.sync_status::text, ''), 1,
            coalesce(n.bytes, 0)
        from new_rows as n where n.deleted_at is null
        union all
        select coalesce(o.resource_type::text, ''), coalesce(o.sync_status::text, ''), -1,
            -coalesce(o.bytes, 0)
        from old_rows as o where o.deleted_at is null
    ) as x (resource_type, sync_status, number, bytes)
    group by 1, 2 having sum(x.number) <> 0 or sum(x.bytes) <> 0;
    if media_worker.is_recording() then
        return null;
    end if;
    -- EXCEPT and no join: its plan is kept from the first, empty firing
    perform media_worker.request_pushes(array(
        select distinct changed.id from (
            select n.id, n.sync_status::text, n.public_id::text, n.tags::text, n.context::text,
                n.display_name::text, n.resource_type::text, n.type::text, n.source_url::text, false
            from new_rows as n where n.deleted_at is null and n.sync_status = 'pending'
            except
            select o.id, o.sync_status::text, o.public_id::text, o.tags::text, o.context::text,
                o.display_name::text, o.resource_type::text, o.type::text, o.source_url::text,
                o.deleted_at is not null
            from old_rows as o
        ) as changed));
    perform media_worker.adopt_restored(array(
        select n.id from new_rows as n where n.deleted_at is null
        intersect select o.id from old_rows as o where o.deleted_at is not null));
    return null;
exception when others then
    raise warning 'media_worker: asking for the sync of assets failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_media_assets__after_update() is
    'Has changed rows made the same at Cloudinary.';

-- On its own: whatever else fails, deletions are asked for.
create or replace function media_worker.tg_media_assets__after_marking() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    if media_worker.is_recording() then
        return null;
    end if;
    perform media_worker.delete_assets_of(array(
        select jsonb_build_object('id', o.id, 'public_id', o.public_id, 'resource_type',
            o.resource_type, 'type', o.type, 'version', o.version, 'asset_id', o.asset_id,
            'secure_url', o.secure_url)
        from old_rows as o where o.deleted_at is null and o.id in (
            select x.id from old_rows as x
            except select n.id from new_rows as n where n.deleted_at is null)), 'soft_delete');
    return null;
exception when others then
    raise warning 'media_worker: asking for the deletion of assets failed: %', sqlerrm;
    return null;
end
$$;
comment on function media_worker.tg_media_assets__after_marking() is
    'Has the assets deleted of rows that were marked as deleted.';

create or replace function media_worker.tg_media_assets__after_delete() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    begin
        perform media_worker.delete_assets_of(array(
            select jsonb_build_object('id', o.id, 'public_id', o.public_id, 'resource_type',
                o.resource_type, 'type', o.type, 'version', o.version, 'asset_id', o.asset_id,
                'secure_url', o.secure_url)
            from old_rows as o where o.deleted_at is null), 'hard_delete');
    exception when others then
        raise warning 'media_worker: asking for the deletion of assets failed: %', sqlerrm;
    end;
    begin
        insert into media_worker.media_counts (resource_type, sync_status, number, bytes)
        select coalesce(o.resource_type::text, ''), coalesce(o.sync_status::text, ''), -count(*),
            -coalesce(sum(o.bytes), 0)
        from old_rows as o where o.deleted_at is null group by 1, 2;
        delete from media_worker.mirrored_assets as m where m.id in (select o.id from old_rows as o);
    exception when others then
        raise warning 'media_worker: forgetting deleted assets failed: %', sqlerrm;
    end;
    return null;
end
$$;
comment on function media_worker.tg_media_assets__after_delete() is
    'Has the assets of deleted rows deleted.';

create or replace function media_worker.tg_media_assets__after_truncate() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    delete from media_worker.media_counts as c where c.minute = '-infinity';
    delete from media_worker.mirrored_assets;
    return null;
end
$$;
comment on function media_worker.tg_media_assets__after_truncate() is
    'An emptied table has nothing to count. No asset is deleted: a TRUNCATE names no rows.';

create or replace function media_worker.delete_assets_of(rows jsonb[], reason text) returns void
language sql security definer set search_path = ''
as $$
    -- while it is being renamed, the asset has the one name or the other
    select media_worker.request_asset_deletions(
        array_agg(n.public_id), array_agg(r.doc ->> 'resource_type'), array_agg(r.doc ->> 'type'),
        array_agg(coalesce((r.doc ->> 'version')::bigint,
                           media_worker.version_of(r.doc ->> 'secure_url', n.public_id))),
        'media_assets', array_agg(r.doc ->> 'id'), delete_assets_of.reason,
        array_agg(r.doc ->> 'asset_id'))
    from unnest(rows) as r(doc)
    left join media_worker.mirrored_assets as m on m.id = (r.doc ->> 'id')::uuid
    cross join lateral (
        select r.doc ->> 'public_id' union select m.base ->> 'public_id') as n(public_id)
    where n.public_id <> ''
    having count(*) > 0;
    update media_worker.mirrored_assets as m set inserted_by_mirror = true
    where m.id in (select (r.doc ->> 'id')::uuid from unnest(rows) as r(doc))
$$;
comment on function media_worker.delete_assets_of(jsonb[], text) is
    'The application has deleted these rows: their assets are to go too.';

create or replace function media_worker.adopt_restored(ids uuid[]) returns void
language sql security definer set search_path = ''
as $$
    update media_worker.mirrored_assets as m set inserted_by_mirror = false where m.id = any (ids)
$$;
comment on function media_worker.adopt_restored(uuid[]) is
    'The application wants these rows back: they protect their assets, whoever inserted them.';

create or replace trigger zz_media_worker_sync_insert after insert on public.media_assets
referencing new table as new_rows
for each statement execute function media_worker.tg_media_assets__after_insert();
create or replace trigger zz_media_worker_sync_update after update on public.media_assets
referencing old table as old_rows new table as new_rows
for each statement execute function media_worker.tg_media_assets__after_update();
create or replace trigger zz_media_worker_sync_marking after update on public.media_assets
referencing old table as old_rows new table as new_rows
for each statement execute function media_worker.tg_media_assets__after_marking();
create or replace trigger zz_media_worker_sync_delete after delete on public.media_assets
referencing old table as old_rows
for each statement execute function media_worker.tg_media_assets__after_delete();
create or replace trigger zz_media_worker_sync_truncate after truncate on public.media_assets
for each statement execute function media_worker.tg_media_assets__after_truncate();
