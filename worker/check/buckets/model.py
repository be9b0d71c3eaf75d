"""What rows and the ledger say of objects, and what a bucket lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.check import model
from worker.storage import ObjectInfo

Standing = Literal["wanted", "unwanted", "under way"]


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


Suspicion = model.Suspicion[Expected]


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
