"""What a check compares, and what it finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from worker.storage import ObjectInfo

Kind = Literal["missing", "truncated", "other", "orphan", "foreign", "unrecorded"]
Standing = Literal["wanted", "unwanted", "under way"]

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
class Expected:
    """What the ledger knows of an object (it has an `object_id` then), or a row says of it.

    `standing`: whether a row wants the object, or something is under way with it.
    """

    object_id: int | None
    object_key: str
    owner_table: str
    owner_id: str
    role: str
    state: str
    bytes: int | None
    sha256: str | None
    etag: str | None
    updated_at: datetime | None
    standing: Standing

    @property
    def owner(self) -> str:
        """The row and its file, for people."""
        return f"{self.role} of {self.owner_table} {self.owner_id}"


@dataclass(frozen=True)
class Pair:
    """All that is known of one key, and what the bucket lists there."""

    key: str
    rows: tuple[Expected, ...]
    found: ObjectInfo | None

    @property
    def counts_on_it(self) -> bool:
        """Something at rest says that an object has to be there."""
        return any(row.standing == "wanted" and row.state != "intent" for row in self.rows)


@dataclass(frozen=True)
class Suspicion:
    """What is wrong with a pair; `rows` are those that it is about."""

    kind: Kind
    key: str
    what: str
    rows: tuple[Expected, ...] = ()


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
