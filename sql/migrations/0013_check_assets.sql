-- check: what the comparison of rows with the Cloudinary account works with.

create unlogged table media_worker.check_seen_assets (
    run uuid not null,
    owner_table text not null,
    owner_id uuid not null,
    noted_at timestamptz not null default clock_timestamp(),
    primary key (run, owner_table, owner_id)
);
comment on table media_worker.check_seen_assets is
    'While a check runs: rows whose assets Cloudinary has listed. The others are looked for by name. Empty otherwise.';
comment on column media_worker.check_seen_assets.run is 'The check that has seen it.';
