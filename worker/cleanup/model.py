"""What cleanup knows of a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Deletion:
    """A claimed deletion of an object, and what was found right before carrying it out.

    `verdict`: delete, owned again, wanted again, not ours, or busy. `uncertain`: an upload to the
    key may be open.
    """

    id: UUID
    bucket: str
    key: str
    verdict: str
    uncertain: bool
