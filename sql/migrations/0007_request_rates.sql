-- How many requests a second a storage is asked for, over all workers.

create table media_worker.request_rates (
    service text primary key,
    next_at timestamptz not null default clock_timestamp(),
    slowed_to double precision,
    slowed_from double precision,
    slowed_at timestamptz,
    grown_at timestamptz,
    used double precision not null default 0,
    used_at timestamptz not null default clock_timestamp(),
    constraint request_rates_slowed_is_whole check
        (num_nulls(slowed_to, slowed_from, slowed_at, grown_at) in (0, 4)),
    constraint request_rates_slowed_to_goes_on check (slowed_to > 0)
);
comment on table media_worker.request_rates is
    'Storages whose requests are limited, by a setting or because they asked for it. No row: no limit.';
comment on column media_worker.request_rates.service is
    'The account, as in outages: storage, cdn:r2_cdn.';
comment on column media_worker.request_rates.next_at is
    'When the next request may begin that no worker has taken yet.';
comment on column media_worker.request_rates.slowed_to is
    'Requests a second since the storage asked for fewer, at grown_at; it grows by a tenth a second. Null: nothing but the setting counts.';
comment on column media_worker.request_rates.slowed_from is
    'Requests a second at which the storage asked for fewer.';
comment on column media_worker.request_rates.slowed_at is
    'When the rate was halved last.';
comment on column media_worker.request_rates.grown_at is
    'Up to when slowed_to has grown.';
comment on column media_worker.request_rates.used is
    'Requests a second that were taken lately, at used_at: an average that forgets within seconds.';
