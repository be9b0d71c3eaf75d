"""How sync is put together from its parts and the settings."""

from __future__ import annotations

from dataclasses import dataclass

from worker.cloudinary import Refused
from worker.queue.store import Caller
from worker.sync.events import ApplyNotifications
from worker.sync.model import Changing, Policy, Uploading
from worker.sync.pushes import PushChanges
from worker.sync.runs import SyncAccount
from worker.sync.store import SyncStore


@dataclass(frozen=True)
class Mirror:
    """What a worker does for sync."""

    store: SyncStore
    runs: SyncAccount
    pushes: PushChanges
    events: ApplyNotifications


def mirror(database: Caller, account: Changing, uploads: Uploading, *, policy: Policy) -> Mirror:
    """Put it together."""
    store = SyncStore(database, policy=policy)
    return Mirror(
        store,
        SyncAccount(store, account, refused=Refused),
        PushChanges(store, account, uploads),
        ApplyNotifications(store, account),
    )
