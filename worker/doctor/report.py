"""`media-worker doctor`: looks at everything, and says of each thing what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from worker.doctor.buckets import check_buckets
from worker.doctor.cdn import check_purge
from worker.doctor.cloudinary import check_cloudinary
from worker.doctor.configuration import database_url, read_settings
from worker.doctor.database import examine_database
from worker.doctor.model import Finding, Level, without_secrets

MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "cyan"),
    "warning": ("warning", "yellow"),
    "error": ("error", "red"),
}
MARGIN = max(len(mark) for mark, _ in MARKS.values()) + 2


def examine(*, fix: bool = False) -> list[Finding]:
    """Look at the settings, the database, the work in it, and the storage.

    Works without any of them: what cannot be looked at is a finding. `fix` mends what takes no
    decision: it migrates the schema and creates missing buckets.
    """
    settings, findings = read_settings()
    url = database_url(settings)
    if url is not None:
        findings += examine_database(url, settings, fix=fix)
    if settings is not None:
        findings += [*check_buckets(settings, fix=fix), *check_purge(settings)]
        findings += check_cloudinary(settings)
    return without_secrets(findings)


def print_findings(findings: Sequence[Finding]) -> None:
    """A line each, with what mends it below, and their number."""
    console = Console(highlight=False)
    for finding in findings:
        mark, style = MARKS[finding.level]
        line = Text.assemble((mark.ljust(MARGIN), style), finding.what)
        console.print(line, soft_wrap=True)
        if finding.mend:
            console.print(Text(" " * MARGIN + f"-> {finding.mend}"), soft_wrap=True)
    found = Counter(finding.level for finding in findings)
    console.print(f"{_number(found['error'], 'error')}, {_number(found['warning'], 'warning')}")


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
