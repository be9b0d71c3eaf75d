-- outside a transaction
-- The application's table may be large and in use: its indexes are built without blocking writes.

-- live rows are unique by what names an asset; serves every look by name
create unique index concurrently if not exists media_worker_assets_live
    on public.media_assets (media_worker.asset_key(media_worker.plain(resource_type), media_worker.plain(type), public_id::text))
    where deleted_at is null;

-- an asset has one row; serves looks by Cloudinary's id
create unique index concurrently if not exists media_worker_assets_asset_id
    on public.media_assets (asset_id);

-- serves list_media: the newest first
create index concurrently if not exists media_worker_assets_newest
    on public.media_assets (created_at desc, id desc) where deleted_at is null;

-- serves list_media: of one type
create index concurrently if not exists media_worker_assets_of_type
    on public.media_assets (media_worker.plain(resource_type), created_at desc, id desc) where deleted_at is null;

-- serves list_media: in a folder
create index concurrently if not exists media_worker_assets_in_folder
    on public.media_assets (media_worker.folder_key(folder::text), created_at desc, id desc)
    where deleted_at is null;

-- serves list_media: beginnings of words in names and tags
create index concurrently if not exists media_worker_assets_words
    on public.media_assets using gin (media_worker.asset_words(public_id::text, display_name::text, tags::text[]))
    where deleted_at is null;

-- serves list_media: with these tags
create index concurrently if not exists media_worker_assets_tags
    on public.media_assets using gin (media_worker.tag_keys(tags::text[])) where deleted_at is null;

-- serves sync_reconcile, which looks for them all the time
create index concurrently if not exists media_worker_assets_pending
    on public.media_assets (id) where sync_status = 'pending' and deleted_at is null;
