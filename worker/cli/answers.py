"""What all commands say in one way: errors, exit statuses, JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from worker import logging
from worker.errors import Misconfigured, WorkError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and no progress.")]


@contextmanager
def errors() -> Iterator[None]:
    """What a user can mend is said in one line; a bug keeps its traceback."""
    import psycopg

    from worker.db.plan import MigrationFailed, MigrationRefused
    from worker.db.pool import DatabaseUnavailable
    from worker.db.refusals import explained
    from worker.storage import BadArgument

    try:
        yield
    except (Misconfigured, BadArgument) as error:
        fail(str(error), USAGE)
    except (MigrationRefused, MigrationFailed, DatabaseUnavailable, WorkError) as error:
        fail(str(error), FAILED)
    except psycopg.Error as error:
        fail(explained(error), FAILED)
    except OSError as error:
        fail(f"{error.filename or 'the file'}: {error.strerror or error}", FAILED)
    except KeyboardInterrupt:
        say("interrupted")
        # a thread that still waits for the network must not delay the end
        os._exit(INTERRUPTED)


def fail(message: str, code: int) -> NoReturn:
    """Say why, and end with that exit status."""
    say(message)
    sys.exit(code)


def say(message: str) -> None:
    """Say something to the person, not to the program that reads the output."""
    Console(stderr=True, highlight=False).print(
        f"media-worker: {logging.redact(message)}", markup=False, style="red", soft_wrap=True
    )


def print_json(value: Any) -> None:
    """Print a value for a program."""
    typer.echo(json.dumps(value, default=str, ensure_ascii=False))
