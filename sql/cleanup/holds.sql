-- cleanup: what holds deletions back: too many of them at once, or a database that is a copy.

create or replace function media_worker.cleanup_configure(
    grace_seconds double precision, hold_above integer
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    update media_worker.cleanup_config as c
    set delete_grace = make_interval(secs => grace_seconds),
        hold_above = cleanup_configure.hold_above
    where (c.delete_grace, c.hold_above)
        is distinct from (make_interval(secs => grace_seconds), cleanup_configure.hold_above)
$$;
comment on function media_worker.cleanup_configure(double precision, integer) is
    'Tells the database how long deletions wait (DELETE_GRACE) and how many are too many (DELETE_HOLD_ABOVE).';

create or replace function media_worker.after_grace() returns timestamptz
language sql stable set search_path = ''
as $$
    select clock_timestamp() + c.delete_grace from media_worker.cleanup_config as c
    where c.delete_grace > interval '0'
$$;
comment on function media_worker.after_grace() is
    'When the bytes of a row that is deleted now may go; null: at once.';

create or replace function media_worker.this_database() returns text
language sql stable set search_path = ''
as $$
    select c.system_identifier || '/' || current_database() from pg_catalog.pg_control_system() as c
$$;
comment on function media_worker.this_database() is
    'Names this database among all servers: a copy has another name.';

create or replace function media_worker.deletions_are_held(kind text) returns boolean
language sql stable security definer set search_path = ''
as $$ select exists (select from media_worker.deletion_holds as h where h.kind = $1) $$;
comment on function media_worker.deletions_are_held(text) is
    'Whether too many deletions of this kind of work wait.';

create or replace function media_worker.watch_deletions(k media_worker.work_kinds) returns void
language plpgsql security definer set search_path = ''
as $$
declare
    most integer := (select c.hold_above from media_worker.cleanup_config as c);
    waiting integer;
begin
    -- what was held has been undone or is done: what came since is judged on its own
    execute format($sql$
        delete from media_worker.deletion_holds as h
        where h.kind = $1 and not exists (
            select from %s as t where t.status = 'pending' and t.claim is null
                and not t.released and t.created_at <= h.since)
    $sql$, k.work_table) using k.kind;
    execute format($sql$
        select count(*) from (
            select from %s as t
            where t.status = 'pending' and t.claim is null and not t.released limit $1) as w
    $sql$, k.work_table) into waiting using most::bigint + 1;
    if waiting > most and not media_worker.deletions_are_held(k.kind) then
        insert into media_worker.deletion_holds (kind) values (k.kind) on conflict do nothing;
    end if;
end
$$;
comment on function media_worker.watch_deletions(media_worker.work_kinds) is
    'Holds all deletions of a kind of work back when more of them wait than DELETE_HOLD_ABOVE.';

create or replace function public.release_deletions() returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
    total bigint := 0;
begin
    for k in select * from media_worker.work_kinds as w where w.before_claim = 'watch_deletions' loop
        total := total + media_worker.release_deletions_of(k);
    end loop;
    return total;
end
$$;
comment on function public.release_deletions() is
    'Lets the deletions go that are held back, because too many of them waited (DELETE_HOLD_ABOVE) or because this database is a copy of the one in which they were asked for; returns their number. What is deleted later is judged anew.';

create or replace function media_worker.release_deletions_of(k media_worker.work_kinds)
returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
    ids uuid[];
    due_bys timestamptz[];
    number bigint;
begin
    execute format($sql$
        with held as (
            select t.id from %1$s as t
            where t.status = 'pending' and t.claim is null and %2$s
            order by t.id
            for no key update
        ), released as (
            update %1$s as t set released = true, updated_at = clock_timestamp()
            from held where t.id = held.id
            returning t.id, t.due_by, t.runnable
        )
        select count(*), array_agg(r.id) filter (where r.runnable),
            array_agg(r.due_by) filter (where r.runnable)
        from released as r
    $sql$, k.work_table, k.held_where) into number, ids, due_bys;
    delete from media_worker.deletion_holds as h where h.kind = k.kind;
    if ids is not null then
        perform media_worker.wake(k.queue, k.task, ids, due_bys, k.ids_per_job);
    end if;
    return number;
end
$$;
comment on function media_worker.release_deletions_of(media_worker.work_kinds) is
    'What release_deletions() does for one kind of work.';

create or replace function media_worker.held_figures()
returns table (kind text, queue text, held bigint, too_many boolean)
language plpgsql stable security definer set search_path = ''
as $$
declare
    k media_worker.work_kinds;
begin
    for k in select * from media_worker.work_kinds as w
             where w.before_claim = 'watch_deletions' order by w.kind loop
        kind := k.kind;
        queue := k.queue;
        execute format($sql$
            select count(*) from %s as t
            where t.status = 'pending' and t.claim is null and not t.released and %s
        $sql$, k.work_table, k.held_where) into held;
        too_many := media_worker.deletions_are_held(k.kind);
        return next;
    end loop;
end
$$;
comment on function media_worker.held_figures() is
    'Deletions that are held back, by kind of work; too_many: since more waited than DELETE_HOLD_ABOVE.';
