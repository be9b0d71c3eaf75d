"""The command `media-worker cleanup`: deletions of assets at Cloudinary, by hand."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from worker.cli.answers import Json
from worker.cli.errand import carry_out


def cleanup(
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False, help="At most so many; default: CLEANUP_BATCH_SIZE."
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed ones anew, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Carry out deletions of assets at Cloudinary that are due.

    Returns once each is done, has failed, or will not be tried again for a minute; where no worker
    is alive, it does the work itself. What waits for DELETE_GRACE or for release_deletions() goes
    on waiting.
    """
    from worker.cleanup.command import clean_up_now

    work = partial(clean_up_now, batch_size=batch_size, retry_failed=retry_failed, quiet=json)
    carry_out(work, queue="cleanup", kind="asset_cleanup", json=json)
