-- Who is calling: for functions that run with their owner's rights.

create or replace function media_worker.current_user_id() returns uuid
language plpgsql stable set search_path = ''
as $$
begin
    return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
exception when others then
    return null;  -- claims that are no claims name nobody
end
$$;
comment on function media_worker.current_user_id() is
    'The user of the request, from request.jwt.claims as PostgREST and Supabase set it; null: nobody.';

create or replace function media_worker.is_trusted_caller() returns boolean
language sql stable set search_path = ''
as $$
    select coalesce(bool_or(r.rolsuper or r.rolname = 'service_role'
            or pg_has_role(r.oid, 'media_worker', 'usage')
            or pg_has_role(r.oid, (select n.nspowner from pg_catalog.pg_namespace as n
                                   where n.nspname = 'media_worker'), 'usage')), false)
    from pg_catalog.pg_roles as r
    where r.rolname = case current_setting('role')
        when 'none' then session_user else current_setting('role') end
$$;
comment on function media_worker.is_trusted_caller() is
    'Whether the session''s role (not the function''s owner) is the service, a worker or the owner: they see all rows, others their own.';

create or replace function media_worker.utc(moment timestamptz) returns timestamptz
language sql immutable return moment;
create or replace function media_worker.utc(moment timestamp) returns timestamptz
language sql immutable return moment at time zone 'UTC';
comment on function media_worker.utc(timestamptz) is 'A time as it is.';
comment on function media_worker.utc(timestamp) is
    'A time without zone is UTC: some applications'' tables have such columns.';
