"""The commands `media-worker sync …`: the media library and the Cloudinary account."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.answers import FAILED, Json, errors, print_json
from worker.cli.errand import Wait, carry_out
from worker.cli.setup import settings_with_database

app = typer.Typer(
    name="sync", help="Make media_assets and the Cloudinary account the same.",
    invoke_without_command=True,
)  # fmt: skip


@app.callback()
def sync(
    context: typer.Context,
    force: Annotated[
        bool,
        typer.Option("--force", help="Even if more than half of the rows are to be deleted."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=500, help="Assets in a page.")] = 100,
    asset: Annotated[str | None, typer.Option(metavar="PUBLIC_ID", help="Just this asset.")] = None,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Compare media_assets with the Cloudinary account, and make both the same.

    Queues the work and returns. With --wait it returns once the comparison has ended, has failed,
    or will not go on for a minute; where no worker is alive, it does the work itself.
    """
    if context.invoked_subcommand is not None:
        return
    from worker.sync.command import sync_now

    work = partial(sync_now, force=force, batch_size=batch_size, asset=asset, wait=wait, quiet=json)
    carry_out(work, queue="sync", kind="media_sync", json=json)


@app.command()
def upload(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", exists=True, dir_okay=False, show_default=False),
    ],
    json: Json = False,
) -> None:
    """Upload files to CLOUDINARY_FOLDER, and insert a row of media_files for each.

    Where the row cannot be inserted, the uploaded asset is removed again; 1 if any file failed.
    """
    from worker.sync.files import upload_files

    with errors():
        answer = upload_files(settings_with_database(), files, quiet=json)
    print_json(answer.as_json()) if json else typer.echo(answer.text)
    if answer.failed:
        raise typer.Exit(FAILED)
