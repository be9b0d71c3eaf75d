-- The ledger: every object that we have put into storage, or are about to.

create table media_worker.objects (
    id bigint primary key generated always as identity,
    service text not null,
    bucket text not null,
    object_key text not null,
    owner_table text not null,
    owner_id text not null,
    role text not null,
    source_hash text,
    state text not null default 'intent',
    doomed boolean not null default false,
    bytes bigint,
    sha256 text,
    etag text,
    content_type text,
    claim uuid,
    claimed_by uuid,
    recheck_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint objects_one_row_per_key unique (service, bucket, object_key),
    constraint objects_state_is_known check (state in ('intent', 'live', 'suspect'))
);
comment on table media_worker.objects is
    'Objects written by us. A row is committed before the upload begins, so that no crash leaves an object that nobody knows; who puts or deletes an object claims its row first.';
comment on column media_worker.objects.service is 'The service that holds the bucket, as in Outage: storage, cdn:NAME.';
comment on column media_worker.objects.owner_id is 'Key of the row in owner_table whose file this is.';
comment on column media_worker.objects.role is 'Which file of the owner it is: audio, cover, video, …';
comment on column media_worker.objects.source_hash is
    'SHA-256 (hex) of the URL that the bytes came from. A hash, since the URL may carry a provider''s signature.';
comment on column media_worker.objects.state is
    'intent: an upload was begun; live: verified; suspect: an upload over a live object was begun, or a run that lost its claim may still write.';
comment on column media_worker.objects.doomed is 'Its deletion is queued.';
comment on column media_worker.objects.recheck_at is
    'When the object is to be compared with this row: after the longest request of a run that was lost.';

-- serves the owner''s look-ups: archive_load, deletion triggers
create index objects_owner on media_worker.objects (owner_table, owner_id);
-- serves media_worker.begin_recheck: what falls due, and what dead workers hold; also lose_objects
create index objects_recheck on media_worker.objects (recheck_at) where recheck_at is not null;
create index objects_claimed on media_worker.objects (claim) where claim is not null;
