"""Puts sync together from the settings."""

from __future__ import annotations

from worker.ability import Ability, Tools
from worker.cloudinary import Account, Refused
from worker.cloudinary.library import Library
from worker.cloudinary.uploads import Uploads
from worker.sync.events import ApplyNotifications
from worker.sync.pushes import PushChanges
from worker.sync.runs import SyncAccount
from worker.sync.store import SyncStore
from worker.sync.tasks import sync_duties, sync_kinds


def mirroring(tools: Tools, account: Account) -> Ability:
    """The mirror of this account."""
    settings = tools.settings
    store = SyncStore(tools.database, policy=settings.sync_conflict_policy)
    library = Library(account)
    uploads = Uploads(account.access, tools.executor, preset=settings.cloudinary_upload_preset)
    kinds = sync_kinds(
        store,
        runs=SyncAccount(store, library, refused=Refused),
        pushes=PushChanges(store, library, uploads),
        events=ApplyNotifications(store, library),
    )
    duties = sync_duties(store, retention_days=settings.work_retention_days)
    return Ability(kinds=kinds, duties=tuple(duties))
