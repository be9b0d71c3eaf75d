-- check: what the comparison of rows with buckets works with, and what has come of it.

-- serves media_worker.check_page: buckets list their keys in byte order, whatever the database does
create index objects_in_byte_order on media_worker.objects
    (service, bucket, object_key collate "C");
-- serves media_worker.check_standing: open deletions of an object; a hash, since a key may be long
create index storage_cleanup_queue_not_done on public.storage_cleanup_queue
    using hash (object_key) where status <> 'completed';

create unlogged table media_worker.check_claims (
    run uuid not null,
    service text not null,
    bucket text not null,
    object_key text collate "C" not null,
    owner_table text not null,
    owner_id text not null,
    role text not null,
    url text,
    noted_at timestamptz not null default clock_timestamp(),
    primary key (run, service, bucket, object_key, owner_table, owner_id, role)
);
comment on table media_worker.check_claims is
    'While a check runs: the keys at which rows say that a file of theirs is, and of which the ledger knows nothing. Empty otherwise.';
comment on column media_worker.check_claims.run is 'The check that noted it.';
comment on column media_worker.check_claims.url is
    'What the row said, where it names a URL: it still has to say so when the finding is reported.';

create table media_worker.check_results (
    place text primary key,
    checked_at timestamptz not null default clock_timestamp(),
    objects bigint not null,
    counts jsonb not null,
    repaired bigint not null default 0,
    error_message text
);
comment on table media_worker.check_results is
    'What the last check of each place (a bucket, or a prefix of a CDN target''s) has shown.';
comment on column media_worker.check_results.objects is 'Objects that were listed there.';
comment on column media_worker.check_results.counts is
    'Findings by kind: missing, truncated, other, orphan; foreign and unrecorded are no faults.';
comment on column media_worker.check_results.repaired is 'Findings of which the repair was begun.';
comment on column media_worker.check_results.error_message is
    'Why the place could not be checked to its end, or was not repaired.';

create table media_worker.check_turns (
    only_row boolean primary key default true check (only_row),
    slot timestamptz not null default now(),
    worker_id uuid,
    tries integer not null default 0,
    ended boolean not null default true
);
comment on table media_worker.check_turns is
    'Which worker carries out the daily check of which day. One row.';
insert into media_worker.check_turns default values;
