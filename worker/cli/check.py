"""The command `media-worker check`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from worker import logging
from worker.cli.answers import FAILED, Json, errors, print_json

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def check(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; else nothing is changed.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every object of the buckets and compare its SHA-256, too."
        ),
    ] = False,
    json: Json = False,
    max_deletions: Annotated[
        int | None,
        typer.Option(
            min=0, help="Delete none if more than so many would be; default: CHECK_MAX_DELETIONS."
        ),
    ] = None,
    older_than: Annotated[
        str,
        typer.Option(help="Leave alone what was touched since: 90s, 30m, 1h, 2d.", metavar="AGE"),
    ] = "1h",
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where hardly anything is as it should be."),
    ] = False,
) -> None:
    """Compare rows with what is really in the buckets and at Cloudinary; 1 if they do not agree.

    Without --repair nothing is changed. With it, rows say no more that a file is there which is
    not, what is missing or differs is stored again, and objects of Media Worker's that no row
    wants are deleted. Objects of others are listed and left. At Cloudinary only what Media Worker
    has deleted once is deleted again.
    """
    from worker.check.command import check_now, print_report
    from worker.check.model import Options
    from worker.cli.setup import settings_with_database

    logging.configure(level="ERROR")
    age = _age(older_than)
    with errors():
        settings = settings_with_database()
        most = settings.check_max_deletions if max_deletions is None else max_deletions
        options = Options(
            repair=repair, verify=verify, force=force, max_deletions=most, older_than=age
        )
        report = check_now(settings, options, quiet=json)
    print_json(report.as_json()) if json else print_report(report, repair=repair)
    if not report.agrees:
        raise typer.Exit(FAILED)


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", text.strip().lower())
    if match is None:
        raise typer.BadParameter(
            "write a number and a unit: 90s, 30m, 1h, 2d", param_hint="--older-than"
        )
    return timedelta(seconds=int(match[1]) * UNITS[match[2]])
