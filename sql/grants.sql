-- Who may do what. First everything is taken away, by name too (Supabase's default privileges
-- grant to its roles by name), then granted by list. Roles that do not exist are passed over.

create or replace function media_worker.existing_roles(names text[]) returns setof text
language sql stable set search_path = ''
as $$ select r.rolname::text from pg_catalog.pg_roles as r where r.rolname = any (names) $$;
comment on function media_worker.existing_roles(text[]) is 'Those of the roles that exist here.';

create or replace function media_worker.grant_if_there(privilege text, roles text[]) returns void
language plpgsql set search_path = ''
as $$
declare
    name text;
begin
    for name in select media_worker.existing_roles(roles) loop
        execute format('grant %s to %I', privilege, name);
    end loop;
end
$$;
comment on function media_worker.grant_if_there(text, text[]) is
    'Grants a privilege ("select on table …") to those of the roles that exist.';

create or replace function media_worker.allow(work_table regclass, policy text, roles text[], command text, rule text)
returns void
language plpgsql set search_path = ''
as $$
declare
    names text := (select string_agg(quote_ident(r), ', ') from media_worker.existing_roles(roles) as r);
begin
    execute format('drop policy if exists %I on %s', policy, work_table);
    if names is not null then
        execute format('create policy %I on %s for %s to %s %s', policy, work_table, command, names, rule);
    end if;
end
$$;
comment on function media_worker.allow(regclass, text, text[], text, text) is
    'Makes a row-level policy anew, for those of the roles that exist.';

-- Ours, wherever it stands ------------------------------------------------------------------------

create or replace function media_worker.our_routines() returns setof oid
language sql stable set search_path = ''
as $$
    select p.oid from pg_catalog.pg_proc as p
    where p.pronamespace = 'media_worker'::pg_catalog.regnamespace or p.oid in (
        select pg_catalog.to_regprocedure(d.identity)::oid from media_worker.defined_objects as d
        where d.kind = 'function')
$$;
comment on function media_worker.our_routines() is
    'All functions of Media Worker: those in its schema, and those that its files define in public.';

create or replace function media_worker.our_relations() returns setof oid
language sql stable set search_path = ''
as $$
    with named as (
        select pg_catalog.to_regclass(d.identity)::oid as oid
        from media_worker.defined_objects as d where d.kind in ('table', 'view')
        union
        select pg_catalog.to_regclass('public.' || quote_ident(a.name))::oid
        from media_worker.application_tables as a where a.created_by_us
    )
    select c.oid from pg_catalog.pg_class as c
    where c.relkind in ('r', 'p', 'v', 'S')
        and (c.relnamespace = 'media_worker'::pg_catalog.regnamespace
            or c.oid in (select n.oid from named as n))
    union
    select d.objid from pg_catalog.pg_depend as d
    join pg_catalog.pg_class as s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = d.classid
        and d.refobjid in (select n.oid from named as n)
$$;
comment on function media_worker.our_relations() is
    'All tables, views and sequences of Media Worker; of the application''s tables those that it created.';

do $$
declare
    thing text;
    takers text := (select string_agg(quote_ident(r), ', ') from media_worker.existing_roles(
        array['anon', 'authenticated', 'service_role', 'media_worker']) as r);
begin
    for thing in
        select 'routine ' || o.oid::regprocedure from media_worker.our_routines() as o(oid)
        union all
        select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass
        from media_worker.our_relations() as o(oid) join pg_catalog.pg_class as c on c.oid = o.oid
        union all
        select 'schema media_worker, procrastinate'
        union all
        select format('all %s in schema procrastinate', kind)
        from unnest(array['tables', 'sequences', 'routines']) as kind
    loop
        execute format('revoke all on %s from public, %s', thing, takers);
    end loop;
end
$$;

-- The temporary schema comes last for them too. With an empty path it would be searched first for
-- types: a caller's own pg_temp.uuid would be run in the middle of a function with owner's rights.

do $$
declare
    signature regprocedure;
begin
    for signature in
        select p.oid from media_worker.our_routines() as o(oid)
        join pg_catalog.pg_proc as p on p.oid = o.oid where 'search_path=""' = any (p.proconfig)
    loop
        execute format('alter routine %s set search_path = pg_catalog, pg_temp', signature);
    end loop;
end
$$;

-- The worker --------------------------------------------------------------------------------------

grant usage on schema media_worker, procrastinate to media_worker;
grant execute on all routines in schema media_worker, procrastinate to media_worker;
grant select on all tables in schema media_worker to media_worker;
grant select, insert, update, delete on all tables in schema procrastinate to media_worker;
grant usage, select on all sequences in schema procrastinate to media_worker;
grant usage on schema public to media_worker;

do $$
declare
    private regclass;
begin
    for private in select c.oid from pg_catalog.pg_class as c
                   where c.relnamespace = 'media_worker'::regnamespace and c.relkind in ('r', 'p') loop
        execute format('alter table %s enable row level security', private);
        perform media_worker.allow(private, 'workers_read', array['media_worker'], 'select', 'using (true)');
    end loop;
end
$$;

-- The service and the worker: everything that is public -----------------------------------------

do $$
declare
    thing text;
    service text[] := array['service_role', 'media_worker'];
begin
    foreach thing in array array[
        'pause_queue(text, timestamptz)', 'resume_queue(text)', 'retry_failed(text)',
        'get_tracks_needing_archiving(integer)', 'archive_track(uuid, boolean)',
        'archive_tracks(integer)', 'mark_track_archived(uuid, text, text, text)',
        'get_track_processing_status(uuid)', 'sync_to_cdn(text, text, text, text)',
        'sync_tracks_to_cdn(text[], text)', 'backfill_cdn(integer)', 'retry_failed_cdn_syncs()',
        'get_cleanup_queue_stats()', 'process_cleanup_queue(integer, boolean)',
        'release_deletions()', 'request_media_sync(boolean, integer, text)',
        'get_media_statistics()', 'list_media(integer, integer, text, text, text[], text)',
        'cleanup_old_sync_logs(integer)'] loop
        perform media_worker.grant_if_there('execute on function public.' || thing, service);
    end loop;
    foreach thing in array array[
        'archive_figures()', 'cdn_figures()', 'queue_figures()', 'sync_figures()',
        'worker_figures()', 'current_user_id()', 'is_trusted_caller()'] loop
        perform media_worker.grant_if_there('execute on function media_worker.' || thing, service);
    end loop;
    foreach thing in array array[
        'archive_statistics', 'track_playback', 'cdn_statistics', 'cdn_sync_status', 'queue_health',
        'worker_status', 'media_sync_status'] loop
        perform media_worker.grant_if_there('select on public.' || thing, service);
    end loop;
    foreach thing in array array[
        'archive_policies', 'track_archiving_jobs', 'cdn_sync_jobs', 'storage_cleanup_queue',
        'cloudinary_cleanup_queue', 'media_sync_runs', 'media_sync_log', 'media_webhook_events'] loop
        perform media_worker.grant_if_there(
            'select, insert, update, delete on public.' || thing, service);
        execute format('alter table public.%I enable row level security', thing);
        perform media_worker.allow(('public.' || thing)::regclass, 'media_worker_service', service,
                                   'all', 'using (true) with check (true)');
    end loop;
end
$$;

-- Everybody: what indexes of the application's tables call -----------------------------------------

-- With every INSERT they are run with the writer's rights. Nobody else can name them, since the
-- schema stays closed.
grant execute on function media_worker.asset_key(text, text, text), media_worker.plain(anyelement),
    media_worker.folder_key(text), media_worker.asset_words(text, text, text[]),
    media_worker.tag_keys(text[]) to public;

-- Users: their own rows ---------------------------------------------------------------------------

do $$
declare
    users text[] := array['authenticated'];
    own text := '(user_id = (select media_worker.current_user_id()))';  -- asked once a statement
begin
    perform media_worker.grant_if_there('execute on function media_worker.current_user_id()', users);
    perform media_worker.grant_if_there('execute on function public.get_track_processing_status(uuid)', users);
    perform media_worker.grant_if_there('select on public.track_playback', users);
    perform media_worker.grant_if_there('select on public.track_archiving_jobs', users);
    perform media_worker.grant_if_there('insert (track_id, user_id) on public.track_archiving_jobs', users);
    perform media_worker.allow('public.track_archiving_jobs', 'media_worker_own_select', users,
                               'select', 'using ' || own);
    perform media_worker.allow('public.track_archiving_jobs', 'media_worker_own_insert', users,
                               'insert', 'with check ' || own);
end
$$;

-- Tables that the application may have had before: only where we created them --------------------

do $$
declare
    service text[] := array['service_role', 'media_worker'];
    users text[] := array['authenticated'];
    own text := '(user_id = (select media_worker.current_user_id()))';  -- asked once a statement
    thing text;
begin
    for thing in select a.name from media_worker.application_tables as a where a.created_by_us loop
        execute format('alter table public.%I enable row level security', thing);
        perform media_worker.grant_if_there(
            format('select, insert, update, delete on public.%I', thing), service);
        perform media_worker.allow(format('public.%I', thing)::regclass, 'media_worker_service', service,
                                   'all', 'using (true) with check (true)');
        if thing in ('tracks', 'notifications', 'media_files', 'media_assets', 'media_collections') then
            perform media_worker.grant_if_there(format('select on public.%I', thing), users);
            perform media_worker.allow(format('public.%I', thing)::regclass, 'media_worker_own_select',
                                       users, 'select', 'using ' || own);
        end if;
        if thing in ('media_usage', 'media_collection_items') then
            perform media_worker.grant_if_there(format('select on public.%I', thing), users);
            perform media_worker.allow(format('public.%I', thing)::regclass, 'media_worker_own_select',
                users, 'select', case thing
                    when 'media_usage' then
                        'using (asset_id in (select m.id from public.media_assets as m where ' || own || '))'
                    else 'using (collection_id in (select c.id from public.media_collections as c where '
                        || own || '))' end);
        end if;
        if thing in ('media_file_tags', 'media_file_usage') then
            perform media_worker.grant_if_there(format('select on public.%I', thing), users);
            perform media_worker.allow(format('public.%I', thing)::regclass, 'media_worker_own_select',
                users, 'select', 'using (media_file_id in (select m.id from public.media_files as m where '
                    || own || '))');
        end if;
        if thing = 'notifications' then
            perform media_worker.grant_if_there('update (read_at) on public.notifications', users);
            perform media_worker.allow('public.notifications', 'media_worker_own_update', users,
                                       'update', 'using ' || own || ' with check ' || own);
        end if;
    end loop;
end
$$;
