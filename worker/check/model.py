"""What a check compares, and what it finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar

R = TypeVar("R")

Kind = Literal["missing", "truncated", "other", "orphan", "foreign", "unrecorded"]

# What ought not to be so. The other kinds are worth knowing, and left as they are.
FAULTS: tuple[Kind, ...] = ("missing", "truncated", "other", "orphan")
KINDS: tuple[Kind, ...] = (*FAULTS, "foreign", "unrecorded")


@dataclass(frozen=True)
class Options:
    """How to check: nothing is changed unless `repair`, no bytes are read unless `verify`.

    Without `force` a place at which hardly anything is as it should be is not repaired.
    """

    repair: bool = False
    verify: bool = False
    force: bool = False
    max_deletions: int = 100
    older_than: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Suspicion(Generic[R]):
    """Something that is wrong; `rows` are those that it is about."""

    kind: Kind
    key: str
    what: str
    rows: tuple[R, ...] = ()


@dataclass
class Finding:
    """A line of the report. `repair`: what mends it; `outcome`: what came of that."""

    place: str
    kind: Kind
    key: str
    what: str
    repair: str
    outcome: str = ""
    repaired: bool = False

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "place": self.place,
            "key": self.key,
            "finding": self.kind,
            "what": self.what,
            "repair": self.outcome or self.repair,
            "repaired": self.repaired,
        }


@dataclass
class PlaceReport:
    """What a place has shown. `findings` holds no more than a screen or a program can bear."""

    place: str
    objects: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    findings: list[Finding] = field(default_factory=list)
    error: str | None = None

    @property
    def faults(self) -> int:
        """Findings that ought not to be."""
        return sum(self.counts[kind] for kind in FAULTS)

    @property
    def agrees(self) -> bool:
        """Everything is as it should be, or its repair was begun."""
        return self.error is None and self.faults == self.repaired

    def as_json(self) -> dict[str, Any]:
        """For programs, without the findings themselves."""
        return {
            "place": self.place,
            "objects": self.objects,
            "counts": dict(self.counts),
            "repaired": self.repaired,
            "error_message": self.error,
        }
