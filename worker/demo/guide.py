"""What `media-worker dev` tells people to try."""

from __future__ import annotations

from textwrap import dedent

from worker.demo.bodies import media_names
from worker.demo.cloudinary import LocalCloudinary
from worker.demo.stage import BUCKETS, CDN

SQL = """
    -- a track that is due: archived at once
    insert into tracks (title, provider, status, created_at, audio_url, cover_url) values
        ('First song', 'suno', 'completed', now() - interval '14 days',
         '{provider}/ok/melody.mp3', '{provider}/ok/cover.jpg');
    -- one that is not: archived in 13 days; and one that is gone at its provider
    insert into tracks (title, provider, status, audio_url) values
        ('For later', 'suno', 'completed', '{provider}/ok/melody.mp3'),
        ('Gone', 'replicate', 'completed', '{provider}/gone.mp3');

    select t.title, t.archive_scheduled_at, j.status, j.attempts, j.error_message, p.audio_url
    from tracks as t join track_playback as p on p.track_id = t.id
    left join track_archiving_jobs as j on j.track_id = t.id;
    select * from archive_statistics;
    select * from queue_health;
    select * from worker_status;

    -- copies on both CDN targets, as long as the row wants them
    insert into audio_tracks (track_id, file_path, metadata) values
        ('first', '{provider}/ok/melody.mp3', '{{"title": "First song"}}');
    select * from cdn_sync_status;
    select cdn_url, storage_locations from audio_tracks;
    delete from audio_tracks where track_id = 'first';

    -- its files go with it
    delete from tracks where title = 'First song';
    select bucket, object_key, status from storage_cleanup_queue;
"""
LIBRARY = """
    -- the Cloudinary account is mirrored; a tag is pushed, a file uploaded, an asset deleted
    select request_media_sync();
    select public_id, tags, sync_status, sync_error from media_assets where deleted_at is null;
    update media_assets set tags = '{{brand,new}}' where public_id = 'logo';
    insert into media_assets (public_id, source_url) values ('cover', '{provider}/ok/cover.png');
    insert into media_files (public_id, resource_type) values ('draft', 'image');
    delete from media_files where public_id = 'draft';
    select public_id, status, error_message from cloudinary_cleanup_queue;
    select operation, status, public_id, details, processing_time_ms from media_sync_log;
"""
CLOUDINARY = """
    The Cloudinary account, which has no console but this:
        curl -g -u {user} '{base}/resources/image/upload?tags=true'
"""
STORAGE = """
    The storage, with all buckets open for reading ({buckets}):
        {s3}/moto-api/    in a browser
        curl {s3}/{audio}
"""


def guide(psql: str, *, provider: str, s3: str | None, cloudinary: LocalCloudinary | None) -> str:
    """How to get in and what to try; `s3` is the embedded storage's endpoint, if there is one."""
    told = SQL + (LIBRARY if cloudinary else "")
    parts = [
        "The database:",
        f"    {psql}",
        "",
        "To paste there:",
        told.format(provider=provider).strip("\n"),
        "",
        f"The provider on this machine has {provider}/ok/ + {', '.join(media_names())}",
        f"and {provider}/generated/SEED/BYTES.mp3; everything else is 404 there.",
    ]
    if s3:
        names = ", ".join([*BUCKETS.values(), *CDN.values()])
        text = STORAGE.format(s3=s3, buckets=names, audio=BUCKETS["audio"])
        parts += ["", dedent(text).strip("\n")]
    if cloudinary:
        parts += ["", _account(cloudinary)]
    return "\n".join(["", *parts, "", "Ctrl-C ends it. The worker says:", ""])


def _account(cloudinary: LocalCloudinary) -> str:
    text = CLOUDINARY.format(
        user=f"{cloudinary.api_key}:{cloudinary.api_secret}",
        base=f"{cloudinary.url}/v1_1/{cloudinary.cloud_name}",
    )
    return dedent(text).strip("\n")
