"""How a check is put together: the places of the settings, and who looks through them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from worker.check.account.inspection import AccountInspection, Library
from worker.check.account.store import AccountStore
from worker.check.actions import Check, Side
from worker.check.buckets.claims import note_claims
from worker.check.buckets.inspection import BucketInspection
from worker.check.buckets.places import Place
from worker.check.buckets.store import BucketStore
from worker.check.inspection import Progress
from worker.check.model import Options
from worker.check.store import CheckStore
from worker.queue.store import Caller


@dataclass(frozen=True)
class CloudinaryPlace:
    """The team's account at Cloudinary."""

    cloud_name: str
    library: Library

    @property
    def name(self) -> str:
        """As people and programs name it."""
        return f"cloudinary:{self.cloud_name}"


@dataclass(frozen=True)
class Grounds:
    """Everything that is configured and can be compared with rows."""

    places: Sequence[Place] = ()
    account: CloudinaryPlace | None = None

    def __bool__(self) -> bool:
        return bool(self.places) or self.account is not None


def no_progress(_place: str, _objects: int) -> None:
    """Nobody looks on."""


def check(
    database: Caller,
    grounds: Grounds,
    executor: Executor,
    *,
    options: Options,
    patience: float,
    progress: Progress = no_progress,
) -> Check:
    """Put one check together. Blocking calls go to `executor`; `progress` is told a place and its
    objects so far. `patience` (seconds): what rate limits ask for beyond it ends a comparison.
    """
    run = uuid4()
    buckets, assets = BucketStore(database, run), AccountStore(database, run)

    async def look_through_buckets(cut_off: datetime) -> Sequence[BucketInspection]:
        await note_claims(buckets, grounds.places)
        return [
            BucketInspection(
                place, buckets, executor, cut_off=cut_off, options=options, progress=progress
            )
            for place in grounds.places
        ]

    async def look_through_account(cut_off: datetime) -> Sequence[AccountInspection]:
        if grounds.account is None:
            return []
        return [
            AccountInspection(
                grounds.account.name,
                assets,
                grounds.account.library,
                cut_off=cut_off,
                options=options,
                patience=patience,
                progress=progress,
            )
        ]

    sides: Sequence[Side] = (look_through_buckets, look_through_account)
    return Check(CheckStore(database, run), sides, options=options)
