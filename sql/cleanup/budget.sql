-- cleanup: the calls that Cloudinary's rate limit allows, shared by all workers.

create or replace function media_worker.take_api_call(
    account text, share_kept double precision default 0
) returns double precision
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    waits double precision;
begin
    update media_worker.api_budgets as b
    set remaining = b.remaining - 1, updated_at = clock_timestamp()
    where b.account = take_api_call.account and b.reset_at > clock_timestamp()
        and b.remaining > b.allowed * share_kept;
    if found then
        return 0;
    end if;
    select extract(epoch from b.reset_at - clock_timestamp()) into waits
    from media_worker.api_budgets as b where b.account = take_api_call.account;
    return greatest(coalesce(waits, 0), 0);  -- nothing is known yet, or of the new period
end
$$;
comment on function media_worker.take_api_call(text, double precision) is
    'Takes a call out of the account''s budget. Returns 0, or the seconds until there are calls again. share_kept: of all calls, the share that is left for others.';

create or replace function media_worker.note_api_budget(
    account text, allowed integer, remaining integer, reset_at timestamptz
) returns void
language sql security definer set search_path = '' set lock_timeout = '300ms'
as $$
    insert into media_worker.api_budgets as b (account, allowed, remaining, reset_at)
    values (account, allowed, remaining, reset_at)
    on conflict on constraint api_budgets_pkey do update
    set allowed = excluded.allowed, reset_at = excluded.reset_at, updated_at = clock_timestamp(),
        -- answers overtake each other; what is under way was taken already
        remaining = case when (b.allowed, b.reset_at) = (excluded.allowed, excluded.reset_at)
            then least(b.remaining, excluded.remaining) else excluded.remaining end
    where b.allowed <> excluded.allowed or b.reset_at <= excluded.reset_at
$$;
comment on function media_worker.note_api_budget(text, integer, integer, timestamptz) is
    'What an answer has said of the account''s budget.';
