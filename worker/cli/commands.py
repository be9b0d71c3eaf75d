"""The command line: thin, one function a command."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Annotated, Literal
from uuid import UUID

import typer

from worker import logging
from worker.cli.answers import FAILED, Json, errors, print_json
from worker.cli.cdn import app as cdn
from worker.cli.check import check
from worker.cli.cleanup import cleanup
from worker.cli.errand import Wait, carry_out
from worker.cli.setup import database_url, settings_with_database
from worker.cli.storage import app as storage
from worker.cli.sync import app as sync

app = typer.Typer(
    name="media-worker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cdn)
app.add_typer(storage)
app.add_typer(sync)
Queue = Literal["archive", "cdn", "cleanup", "sync", "maintenance"]


def main() -> None:
    """The entry point `media-worker`."""
    app(prog_name="media-worker")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"media-worker {version('media-worker')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Keeps the bytes behind media rows right: a job worker on PostgreSQL.

    Settings come from the environment, .env or a credentials directory; see the README.
    Exit status: 0; 1 when something failed; 2 for wrong usage or wrong settings.
    """


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be done; 1 if anything.")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead.")] = False,
) -> None:
    """Bring the database's schema up to date. Safe to repeat, and while workers run.

    Needs a direct connection, not one through a transaction pooler such as PgBouncer. Where
    something in the database does not fit, nothing is changed, and what does not fit is listed.
    """
    from worker.db.migrator import Migrator

    with errors():
        migrator = Migrator(database_url())
        if sql:
            typer.echo(migrator.script())
            return
        plan = migrator.check() if check else migrator.apply(progress=typer.echo)
    for step in plan.steps:
        typer.echo(f"{'would apply' if check else 'applied'}: {step.kind} {step.name}".rstrip())
    typer.echo(
        "the schema is up to date" if plan.up_to_date or not check else "run media-worker migrate"
    )
    if check and not plan.up_to_date:
        raise typer.Exit(FAILED)


@app.command()
def run(
    queues: Annotated[
        str | None, typer.Option(help="Only these queues, separated by commas.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Jobs in flight; default: WORKER_CONCURRENCY.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Work until nothing is due; 1 if any of it failed.")
    ] = False,
) -> None:
    """Run the worker.

    SIGTERM or Ctrl-C stops it in order: what runs gets SHUTDOWN_GRACE seconds, and what has not
    ended by then is given back. A second signal skips the grace. Nothing is lost by any end.
    """
    from worker import daemon
    from worker.app import compose

    logging.configure()
    names = [name.strip() for name in queues.split(",")] if queues is not None else None
    with errors():
        settings = settings_with_database()
        code = daemon.run(
            lambda: compose(
                settings, queues=names, concurrency=concurrency, proven=daemon.feed_watchdog
            ),
            once=once,
        )
    daemon.leave(code)


@app.command()
def status(json: Json = False) -> None:
    """Show queues, workers, and what the archive, the CDN and the cleanup have reached.

    The views queue_health, worker_status, archive_statistics and cdn_statistics, the deletions of
    assets, besides deletions that are held back, paused queues, and services that are out of
    order. JSON has intervals in seconds.
    """
    from worker.monitoring.report import print_status, read_status

    with errors():
        found = read_status(database_url())
    print_json(found) if json else print_status(found)


@app.command()
def retry(
    queue: Annotated[Queue, typer.Argument(help="Whose failed work is to be done again.")],
    json: Json = False,
) -> None:
    """Have everything that failed in a queue done again, with its tries counted anew."""
    from worker.monitoring.report import retry_failed

    with errors():
        number = retry_failed(database_url(), queue)
    print_json({"queued": number}) if json else typer.echo(f"queued again: {number}")


@app.command()
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Migrate the schema, create missing buckets.")
    ] = False,
    json: Json = False,
) -> None:
    """Look for what is wrong, and say what mends it; 1 if anything is.

    Looks at the settings, the database and what is installed in it, the buckets, the workers and
    the work that waits. Changes nothing without --fix.
    """
    from worker.doctor.report import examine, print_findings

    findings = examine(fix=fix)
    print_json([vars(f) for f in findings]) if json else print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def archive(
    track_id: Annotated[
        UUID | None,
        typer.Argument(metavar="TRACK_ID", help="One track; without it, those that need it."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many tracks.")] = 50,
    force: Annotated[bool, typer.Option("--force", help="Also a track that is archived.")] = False,
    wait: Wait = False,
    json: Json = False,
) -> None:
    """Archive a track now, or those that need it.

    Queues the work and returns. With --wait it returns once each track is archived, has failed,
    or will not be tried again for a minute; where no worker is alive, it does the work itself.
    """
    from worker.archive.command import archive_now

    if force and track_id is None:
        raise typer.BadParameter("--force needs a TRACK_ID", param_hint="--force")
    work = partial(archive_now, track_id=track_id, limit=limit, force=force, wait=wait, quiet=json)
    carry_out(work, queue="archive", json=json)


@app.command()
def dev() -> None:
    """Run a worker on embedded PostgreSQL and S3, to try things by hand with psql."""
    from worker.demo.dev import run_dev

    with errors():
        run_dev()


@app.command()
def demo() -> None:
    """Show the whole job on embedded PostgreSQL and S3, and prove the result."""
    from worker.demo.demo import run_demo

    with errors():
        succeeded = run_demo()
    if not succeeded:
        raise typer.Exit(FAILED)


app.command()(check)
app.command()(cleanup)
