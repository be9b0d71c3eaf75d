"""The command line: thin, one function a command."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
from rich.console import Console

from worker import logging
from worker.errors import Misconfigured
from worker.settings import Settings, load_settings

FAILED, USAGE = 1, 2
app = typer.Typer(
    name="media-worker",
    help="Keeps the bytes behind media rows right: a job worker on PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """The entry point `media-worker`."""
    app()


@app.callback()
def common(
    version_: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Settings come from the environment, .env or a credentials directory; see the README."""
    if version_:
        typer.echo(f"media-worker {version('media-worker')}")
        raise typer.Exit


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be done; 1 if anything.")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead.")] = False,
) -> None:
    """Bring the database's schema up to date. Safe to repeat, and while workers run."""
    from worker.db.migrator import Migrator

    with _errors():
        migrator = Migrator(_database_url())
        if sql:
            typer.echo(migrator.script())
            return
        plan = migrator.check() if check else migrator.apply()
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
    """Run the worker."""
    from worker import daemon
    from worker.app import compose

    logging.configure()
    names = [name.strip() for name in queues.split(",")] if queues is not None else None
    with _errors():
        settings = load_settings()
        code = daemon.run(
            lambda: compose(
                settings, queues=names, concurrency=concurrency, proven=daemon.feed_watchdog
            ),
            once=once,
        )
    daemon.leave(code)


@app.command()
def status(json: Json = False) -> None:
    """Show queues, workers and what the archive has reached."""
    from worker.monitoring.report import print_status, read_status

    with _errors():
        found = read_status(_database_url())
    _print_json(found) if json else print_status(found)


@app.command()
def retry(
    queue: Annotated[str, typer.Argument(help="archive, cdn, cleanup, sync or maintenance")],
    json: Json = False,
) -> None:
    """Have everything that failed in a queue done again."""
    from worker.monitoring.report import retry_failed

    with _errors():
        number = retry_failed(_database_url(), queue)
    _print_json({"queued": number}) if json else typer.echo(f"queued again: {number}")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    json: Json = False,
) -> None:
    """Look for what is wrong, and say what mends it; 1 if anything is."""
    from worker.doctor.report import examine, print_findings

    findings = examine(fix=fix)
    _print_json([vars(f) for f in findings]) if json else print_findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def archive(
    track_id: Annotated[
        UUID | None, typer.Argument(help="One track; default: those that need it")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many tracks.")] = 50,
    force: Annotated[bool, typer.Option("--force", help="Also a track that is archived.")] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Show progress until the work has ended; 1 if any failed."),
    ] = False,
    json: Json = False,
) -> None:
    """Archive a track now, or those that need it."""
    from worker.archive.command import archive_now

    with _errors():
        answer = archive_now(
            load_settings(), track_id=track_id, limit=limit, force=force, wait=wait, quiet=json
        )
    _print_json(answer.as_json()) if json else typer.echo(answer.message)
    if answer.failed:
        raise typer.Exit(FAILED)


@app.command()
def dev() -> None:
    """Run a worker on embedded PostgreSQL and S3, to try things by hand with psql."""
    from worker.demo.dev import run_dev

    with _errors():
        run_dev()


@app.command()
def demo() -> None:
    """Show the whole job on embedded PostgreSQL and S3, and prove the result."""
    from worker.demo.demo import run_demo

    with _errors():
        succeeded = run_demo()
    if not succeeded:
        raise typer.Exit(FAILED)


def _database_url() -> str:
    settings: Settings = load_settings()
    if settings.database_url is None:
        raise Misconfigured(
            "DATABASE_URL is not set: set it to a PostgreSQL URL, in the environment or in .env"
        )
    return settings.database_url.get_secret_value()


@contextmanager
def _errors() -> Iterator[None]:
    """What a user can mend is said in one line; a bug keeps its traceback."""
    import psycopg

    from worker.db.plan import MigrationFailed, MigrationRefused
    from worker.db.pool import DatabaseUnavailable

    try:
        yield
    except Misconfigured as error:
        _fail(str(error), USAGE)
    except (MigrationRefused, MigrationFailed, DatabaseUnavailable) as error:
        _fail(str(error), FAILED)
    except psycopg.OperationalError as error:
        _fail(f"no connection to PostgreSQL: {error}", FAILED)
    except psycopg.Error as error:
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        _fail(f"{error.diag.message_primary or error}{hint}", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False).print(
        f"media-worker: {logging.redact(message)}", markup=False, style="red", soft_wrap=True
    )
    sys.exit(code)


def _print_json(value: Any) -> None:
    typer.echo(json_format.dumps(value, default=str, ensure_ascii=False))
