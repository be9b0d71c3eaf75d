-- cleanup: what happens when rows of media_files are deleted, softly or for good, and had back.

create or replace function media_worker.tg_media_file__before_update() returns trigger
language plpgsql set search_path = '' set timezone = 'UTC'
as $$
begin
    if new.status::text = 'deleted' then
        new.deleted_at := coalesce(new.deleted_at, clock_timestamp());
    elsif old.status::text = 'deleted' and new.deleted_at is not distinct from old.deleted_at then
        new.deleted_at := null;
    end if;
    return new;
end
$$;
comment on function media_worker.tg_media_file__before_update() is
    'deleted_at follows status.';

create or replace trigger zz_media_worker_deleted_at before update on public.media_files
for each row when (new.status::text is distinct from old.status::text)
execute function media_worker.tg_media_file__before_update();

create or replace function media_worker.tg_media_files__after_update() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
    deleted uuid[];
    restored uuid[];
    renewed uuid[];
begin
    deleted := array(
        select n.id from new_rows as n where n.status::text = 'deleted'
        intersect
        select o.id from old_rows as o where o.status::text is distinct from 'deleted');
    restored := array(
        select n.id from new_rows as n where n.status::text is distinct from 'deleted'
        intersect
        select o.id from old_rows as o where o.status::text = 'deleted');
    if cardinality(restored) > 0 then
        renewed := array(
            select x.id from (
                select n.id, n.secure_url::text from new_rows as n where n.secure_url::text <> ''
                except
                select o.id, o.secure_url::text from old_rows as o) as x
            where x.id = any (restored));
        perform media_worker.restore_media_files(restored, renewed);
    end if;
    if cardinality(deleted) > 0 then
        perform media_worker.delete_media_files(array(
            select jsonb_build_object('id', n.id, 'public_id', n.public_id, 'resource_type',
                n.resource_type, 'type', n.type, 'secure_url', n.secure_url)
            from new_rows as n where n.id = any (deleted)), 'soft_delete');
    end if;
    return null;
end
$$;
comment on function media_worker.tg_media_files__after_update() is
    'Queues the deletion of the assets of rows that became deleted; what is had back keeps its asset, or is refused.';

create or replace function media_worker.tg_media_files__after_delete() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.delete_media_files(array(
        -- a large statement's whole rows would not fit into an array
        select jsonb_build_object('id', o.id, 'public_id', o.public_id, 'resource_type',
            o.resource_type, 'type', o.type, 'secure_url', o.secure_url)
        from old_rows as o
        where not exists (select from media_worker.media_files_without_asset as w
                          where w.media_file_id = o.id and w.gone)), 'hard_delete');
    delete from media_worker.media_files_without_asset as w
    where w.media_file_id in (select o.id from old_rows as o);
    return null;
end
$$;
comment on function media_worker.tg_media_files__after_delete() is
    'Queues the deletion of the assets of deleted rows, but for those that a soft delete has taken already.';

create or replace function media_worker.delete_media_files(rows jsonb[], reason text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
    perform media_worker.request_asset_deletions(
        array_agg(f.doc ->> 'public_id'),
        array_agg(media_worker.resource_type_of(f.doc ->> 'resource_type', f.doc ->> 'secure_url')),
        array_agg(f.doc ->> 'type'),
        array_agg(media_worker.version_of(f.doc ->> 'secure_url', f.doc ->> 'public_id')),
        'media_files', array_agg(f.doc ->> 'id'), delete_media_files.reason)
    from unnest(rows) as f(doc)
    having count(*) > 0;
exception when others then
    raise warning 'media_worker: queueing the deletion of % assets failed: %',
        cardinality(rows), sqlerrm;
end
$$;
comment on function media_worker.delete_media_files(jsonb[], text) is
    'The assets of these rows of media_files are to go; a failure is a warning, since the application''s write must not fail because of us.';

create or replace function media_worker.restore_media_files(ids uuid[], renewed uuid[]) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    lost record;
begin
    -- a run that takes one of these waits for us, or has taken it, and is seen below
    update public.cloudinary_cleanup_queue as q
    set status = 'completed', error_message = 'cancelled: the row was had back',
        completed_at = clock_timestamp(), next_attempt_at = null, parked = false,
        updated_at = clock_timestamp()
    where q.id in (
        select w.id from public.cloudinary_cleanup_queue as w
        where w.source_table = 'media_files' and w.source_id = any (ids::text[])
            and w.source_id <> all (renewed::text[])
            and w.status in ('pending', 'failed') and w.claim is null and w.sent_at is null
        order by w.id for no key update)
        and q.status in ('pending', 'failed') and q.claim is null and q.sent_at is null;
    select m.id, m.public_id::text as public_id, w.gone into lost
    from unnest(ids) as r(id)
    join public.media_files as m on m.id = r.id
    left join media_worker.media_files_without_asset as w on w.media_file_id = m.id
    where m.id <> all (renewed) and (w.media_file_id is not null
        or media_worker.deletion_is_under_way(
            media_worker.resource_type_of(m.resource_type::text, m.secure_url::text),
            coalesce(nullif(m.type::text, ''), 'upload'), m.public_id::text))
    limit 1;
    if lost.id is not null then
        raise exception 'media_files row % cannot be had back: its asset % %', lost.id,
            quote_literal(lost.public_id), case when lost.gone then 'was deleted at Cloudinary'
                when lost.gone is null then 'is being deleted at Cloudinary just now'
                else 'may have been deleted at Cloudinary already' end
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Upload the file again, and set secure_url to the new asset''s in the same UPDATE.';
    end if;
    delete from media_worker.media_files_without_asset as w where w.media_file_id = any (renewed);
end
$$;
comment on function media_worker.restore_media_files(uuid[], uuid[]) is
    'Soft-deleted rows are wanted again: deletions that have not begun are cancelled. Raises 55000 where one has, unless the row is among those that bring a new asset (renewed).';

create or replace function media_worker.deletion_is_under_way(
    resource_type text, type text, public_id text
) returns boolean
language sql stable security definer set search_path = ''
as $$
    select exists (
        select from public.cloudinary_cleanup_queue as q
        where q.public_id = $3 and q.type = $2 and q.status <> 'completed' and q.claim is not null
            and coalesce(q.resource_type = $1, true))
$$;
comment on function media_worker.deletion_is_under_way(text, text, text) is
    'Whether a worker deletes the asset just now.';

create or replace trigger zz_media_worker_cleanup_update after update on public.media_files
referencing old table as old_rows new table as new_rows
for each statement execute function media_worker.tg_media_files__after_update();

create or replace trigger zz_media_worker_cleanup_delete after delete on public.media_files
referencing old table as old_rows
for each statement execute function media_worker.tg_media_files__after_delete();
