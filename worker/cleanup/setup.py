"""Puts cleanup together from the settings."""

from __future__ import annotations

from worker.ability import Ability, Tools
from worker.cleanup.actions import DeleteObjects
from worker.cleanup.assets import DeleteAssets
from worker.cleanup.store import AssetCleanupStore, CleanupStore
from worker.cleanup.tasks import asset_cleanup_kind, cleanup_duty, storage_cleanup_kind
from worker.cloudinary import Account as CloudinaryAccount
from worker.cloudinary import AssetStore
from worker.queue.model import WorkKind
from worker.storage.account import Account, ObjectShredder


def deleting_objects(tools: Tools, account: Account) -> Ability:
    """The deletion of objects of this storage."""
    action = DeleteObjects(
        CleanupStore(tools.database, tools.worker_id), ObjectShredder(account, tools.executor)
    )
    kind = storage_cleanup_kind(action, max_attempts=tools.settings.cleanup_max_retries)
    return _deleting(tools, kind)


def deleting_assets(tools: Tools, account: CloudinaryAccount) -> Ability:
    """The deletion of assets of this account."""
    batch = tools.settings.cleanup_batch_size
    action = DeleteAssets(
        AssetCleanupStore(tools.database), AssetStore(account, batch=batch), batch=batch
    )
    kind = asset_cleanup_kind(action, max_attempts=tools.settings.cleanup_max_retries)
    return _deleting(tools, kind)


def _deleting(tools: Tools, kind: WorkKind) -> Ability:
    settings, store = tools.settings, AssetCleanupStore(tools.database)
    return Ability(
        kinds=(kind,),
        duties=(cleanup_duty(tools.store, kind, every=settings.cleanup_interval),),
        prepare=lambda: store.configure(
            grace=settings.delete_grace, hold_above=settings.delete_hold_above
        ),
    )
