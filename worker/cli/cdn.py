"""The commands `media-worker cdn …`: copies on the CDN's targets, by hand."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import typer

from worker.cli.answers import Json
from worker.cli.errand import Wait, carry_out

app = typer.Typer(
    name="cdn",
    help="Put tracks onto the CDN's targets, or take them off.",
    no_args_is_help=True,
)
Track = Annotated[
    str, typer.Argument(metavar="TRACK_ID", show_default=False, help="A row of audio_tracks.")
]


@app.command()
def upload(track_id: Track, wait: Wait = False, json: Json = False) -> None:
    """Have a track's audio and sidecar on every target, now and from now on.

    Sets cdn_enabled, queues the work and returns. With --wait it returns once each target has the
    files, has failed, or will not be tried again for a minute; where no worker is alive, it does
    the work itself.
    """
    _sync(track_id, "upload", wait=wait, json=json)


@app.command()
def delete(track_id: Track, wait: Wait = False, json: Json = False) -> None:
    """Take a track off every target, now and from now on.

    Sets cdn_enabled to false while the row exists, queues the work and returns; a track that is
    gone may be named too. --wait is as with upload.
    """
    _sync(track_id, "delete", wait=wait, json=json)


@app.command()
def backfill(
    limit: Annotated[
        int | None,
        typer.Option(min=0, show_default=False, help="At most so many tracks; default: all."),
    ] = None,
    json: Json = False,
) -> None:
    """Queue older tracks that are not on every target, behind all new work.

    Returns once all of them are queued. It may be interrupted, and repeated at any time.
    """
    from worker.cdn.command import backfill_now

    carry_out(partial(backfill_now, limit=limit, quiet=json), queue="cdn", json=json)


def _sync(track_id: str, operation: Literal["upload", "delete"], *, wait: bool, json: bool) -> None:
    from worker.cdn.command import sync_now

    work = partial(sync_now, track_id=track_id, operation=operation, wait=wait, quiet=json)
    carry_out(work, queue="cdn", json=json)
