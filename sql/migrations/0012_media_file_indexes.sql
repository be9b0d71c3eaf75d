-- outside a transaction
-- The application's table may be large and in use: its indexes are built without blocking writes.

-- serves media_worker.asset_user and the deletion's last look: rows that name an asset
create index concurrently if not exists media_worker_media_files_asset
    on public.media_files using hash ((public_id::text));
