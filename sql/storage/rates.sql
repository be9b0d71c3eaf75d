-- Requests to a storage: workers take the right to them in blocks, and pace them by themselves.

create or replace function media_worker.take_requests(
    service text, wanted integer, per_second double precision,
    slow_down boolean, sent double precision, freely boolean, pause double precision
) returns table (requests integer, wait double precision, pace double precision)
language plpgsql security definer set search_path = '' set lock_timeout = '300ms'
as $$
declare
    r media_worker.request_rates;
    moment timestamptz;
begin
    if slow_down or per_second > 0 then
        insert into media_worker.request_rates as x (service) values (take_requests.service)
        on conflict on constraint request_rates_pkey do nothing;
    end if;
    select * into r from media_worker.request_rates as x
    where x.service = take_requests.service for no key update;
    moment := clock_timestamp();  -- after the lock, for which it may have waited
    if r.service is not null then
        r := media_worker.recovered_rate(r, per_second, moment);
    end if;
    if slow_down then
        r := media_worker.slowed_rate(r, per_second, sent, freely, pause, moment);
    end if;
    pace := coalesce(r.slowed_to, nullif(per_second, 0));
    if pace is null then
        delete from media_worker.request_rates as x where x.service = take_requests.service;
        requests := wanted;
        wait := 0;
        return next;
        return;
    end if;
    r.next_at := case when r.next_at between moment and moment + interval '5 minutes'
        then r.next_at else moment end;
    wait := extract(epoch from r.next_at - moment);
    requests := case when wait > 1 then 0 else least(wanted, ceil(pace / 2)) end;
    if requests = 0 then
        wait := wait - 0.5;
    end if;
    r.next_at := r.next_at + make_interval(secs => requests / pace);
    r.used := r.used + requests / 2.0;
    update media_worker.request_rates as x
    set next_at = r.next_at, used = r.used, used_at = r.used_at, slowed_to = r.slowed_to,
        slowed_from = r.slowed_from, slowed_at = r.slowed_at, grown_at = r.grown_at
    where x.service = r.service;
    return next;
end
$$;
comment on function media_worker.take_requests(text, integer, double precision, boolean, double precision, boolean, double precision) is
    'The right to some of the wanted requests, the first in so many seconds and the others at this pace (a second); at most half a second''s. No requests: ask again after the wait. pace null: there is no limit. per_second: the setting''s limit, 0: none. slow_down: the storage asked for fewer, and for a pause of so many seconds; sent: requests a second of the asking worker; freely: it had not taken them.';

create or replace function media_worker.recovered_rate(
    r media_worker.request_rates, per_second double precision, moment timestamptz
) returns media_worker.request_rates
language plpgsql immutable set search_path = ''
as $$
begin
    r.used := r.used * exp(-least(extract(epoch from moment - r.used_at), 300) / 2.0);
    r.used_at := moment;
    r.slowed_to := r.slowed_to
        * power(1.1, least(greatest(extract(epoch from moment - r.grown_at), 0), 300));
    r.grown_at := case when r.slowed_to is not null then moment end;
    if r.slowed_to >= coalesce(nullif(per_second, 0), greatest(r.slowed_from, r.used * 1.5)) then
        r.slowed_to := null;
        r.slowed_from := null;
        r.slowed_at := null;
        r.grown_at := null;
    end if;
    return r;
end
$$;
comment on function media_worker.recovered_rate(media_worker.request_rates, double precision, timestamptz) is
    'The rate as it has grown since. A slow-down is over when the setting''s limit is reached; without one, what was used before it and half as much again as is used now.';

create or replace function media_worker.slowed_rate(
    r media_worker.request_rates, per_second double precision, sent double precision,
    freely boolean, pause double precision, moment timestamptz
) returns media_worker.request_rates
language plpgsql immutable set search_path = ''
as $$
declare
    least_rate double precision := least(1, coalesce(nullif(per_second, 0), 1));
    -- what somebody used without taking it is not in the rate yet
    joins boolean := freely and r.slowed_to is not null;
begin
    r.next_at := greatest(r.next_at, moment + make_interval(secs => least(pause, 10)));
    if joins then
        r.slowed_to := r.slowed_to + sent / 2;
        r.slowed_from := r.slowed_from + sent;
    elsif r.slowed_at is null or r.slowed_at <= moment - interval '1 second' then
        r.slowed_from := greatest(
            coalesce(r.slowed_from, nullif(per_second, 0), sent), 2 * least_rate);
        r.slowed_to := greatest(
            coalesce(r.slowed_to, nullif(per_second, 0), sent) / 2, least_rate);
        r.slowed_at := moment;
        r.grown_at := moment;
    end if;
    return r;
end
$$;
comment on function media_worker.slowed_rate(media_worker.request_rates, double precision, double precision, boolean, double precision, timestamptz) is
    'Half the rate, at most once a second and never less than one request a second.';
