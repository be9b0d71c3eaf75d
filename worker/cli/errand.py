"""Commands that ask for work, and do it themselves where no worker is alive."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from typing import TYPE_CHECKING, Annotated

import typer

from worker import logging
from worker.cli.answers import FAILED, errors, print_json
from worker.cli.setup import settings_with_database

if TYPE_CHECKING:
    from worker.queue.waiting import Answer

Wait = Annotated[
    bool,
    typer.Option("--wait", help="Show progress until the work has ended; 1 if any failed."),
]


def carry_out(
    work: Callable[..., Answer], *, queue: str, json: bool, kind: str | None = None
) -> None:
    """Call `work(settings, hand=…)` and print what came of it; exit status 1 if any of it failed.

    `hand` is a worker in this process, for rows of one kind, which has the queue's name unless
    told otherwise.
    """
    from worker.app import compose
    from worker.daemon import Daemon

    logging.configure(level="ERROR")
    getLogger("worker.queue.settlement").setLevel("CRITICAL")  # the answer names what failed
    with errors():
        settings = settings_with_database()
        answer = work(
            settings, hand=lambda: Daemon(compose(settings, queues=[queue])).on_call(kind or queue)
        )
    print_json(answer.as_json()) if json else typer.echo(answer.text)
    if answer.failed:
        raise typer.Exit(FAILED)
