-- cleanup: what a classic installation had left undone.

create or replace function media_worker.take_over_classic_deletions() returns integer
language plpgsql security definer set search_path = ''
as $$
declare
    taken integer;
begin
    if not media_worker.has_columns('public.cloudinary_cleanup_queue_classic', '{public_id,status}') then
        return 0;
    end if;
    execute $sql$
        select count(*) from (
            select array_agg(c.doc ->> 'public_id') as public_ids,
                array_agg(c.doc ->> 'resource_type') as resource_types,
                array_agg(c.doc ->> 'id') as source_ids
            from (select to_jsonb(t) as doc from public.cloudinary_cleanup_queue_classic as t
                  where media_worker.is_open_classic(t.status::text)) as c
            where not exists (
                select from public.cloudinary_cleanup_queue as q
                where q.source_table = 'cloudinary_cleanup_queue_classic'
                    and q.source_id = c.doc ->> 'id')
            having count(*) > 0
        ) as a
        cross join lateral media_worker.request_asset_deletions(a.public_ids, a.resource_types,
            null, null, 'cloudinary_cleanup_queue_classic', a.source_ids, 'manual')
    $sql$ into taken;
    return taken;
end
$$;
comment on function media_worker.take_over_classic_deletions() is
    'Queues the deletions that wait in cloudinary_cleanup_queue_classic, where there is such a table; returns their number. An asset that a living row uses is not deleted all the same.';
