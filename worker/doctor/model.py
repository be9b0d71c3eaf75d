"""What a check reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from worker.logging import redact

Level = Literal["ok", "note", "warning", "error"]
WHERE = "in the environment, in .env or in a credentials directory"


@dataclass(frozen=True)
class Finding:
    """What is right, worth knowing or wrong; `mend` is what mends it, an exact command if it can.

    Only an `error` keeps work from being done.
    """

    level: Level
    what: str
    mend: str = ""


def without_secrets(findings: Iterable[Finding]) -> list[Finding]:
    """The same findings, whatever a message of somebody else may quote."""
    return [
        replace(finding, what=redact(finding.what), mend=redact(finding.mend))
        for finding in findings
    ]
