"""Proofs: what was expected, what was found, and whether that is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Check:
    """One thing that must be so.

    With `within`, what is expected need only occur in what is found.
    """

    what: str
    expected: str
    found: str
    within: bool = False

    @property
    def ok(self) -> bool:
        """Whether it is so."""
        if self.within:
            return self.expected.lower() in self.found.lower()
        return self.expected == self.found


def failed(proofs: Mapping[str, Sequence[Check]]) -> list[Check]:
    """The checks that are not ok; without any check at all there is one that says so."""
    checks = [check for group in proofs.values() for check in group]
    if not checks:
        return [Check("checks", "at least one", "none")]
    return [check for check in checks if not check.ok]


def proof_table(proofs: Mapping[str, Sequence[Check]]) -> Table:
    """All checks by scene."""
    table = Table()
    for name in ("what", "expected", "found"):
        table.add_column(name, overflow="fold")
    table.add_column("ok", no_wrap=True)
    for title, checks in proofs.items():
        table.add_section()
        table.add_row(Text(title, style="bold"))
        for check in checks:
            table.add_row(Text(check.what), Text(check.expected), Text(check.found), _mark(check))
    return table


def _mark(check: Check) -> Text:
    return Text("ok", style="green") if check.ok else Text("NOT OK", style="bold red")
