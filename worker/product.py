"""The one list of what this worker does: capabilities, each off without its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from worker.ability import Ability, Tools
from worker.archive.setup import archiving
from worker.cdn.setup import copying, target_accounts
from worker.check.buckets.places import places
from worker.check.model import Options
from worker.check.setup import CloudinaryPlace, Grounds
from worker.check.tasks import check_duty
from worker.cleanup.setup import deleting_assets, deleting_objects
from worker.cloudinary import Account as CloudinaryAccount
from worker.cloudinary import AdminApi, Budget
from worker.cloudinary.library import Library
from worker.logging import get_logger
from worker.storage.account import Account
from worker.storage.config import StorageTarget
from worker.storage.recheck import recheck_duty
from worker.sync.setup import mirroring

log = get_logger(__name__)


def product(tools: Tools) -> Sequence[Ability]:
    """All capabilities that the settings allow."""
    storage = _storage_account(tools)
    targets = target_accounts(tools.settings, throttle=tools.throttles.of)
    cloudinary = _cloudinary_account(tools)
    return [
        *_of_storage(tools, storage),
        *_of_cdn(tools, storage, targets),
        *_of_cloudinary(tools, cloudinary),
        *_checking(tools, _grounds(tools, storage, targets, cloudinary)),
    ]


def _storage_account(tools: Tools) -> Account | None:
    access = tools.settings.storage(tools.settings.storage_audio_bucket)
    if access is None:
        return None
    return Account(StorageTarget.of(access), throttle=tools.throttles.of(access))


def _cloudinary_account(tools: Tools) -> CloudinaryAccount | None:
    access = tools.settings.cloudinary
    if access is None:
        return None
    api = AdminApi(access, connections=tools.slots)
    return CloudinaryAccount(api, Budget(tools.database, access.cloud_name), tools.executor)


def _of_storage(tools: Tools, account: Account | None) -> Iterator[Ability]:
    if account is not None:
        yield archiving(tools, account)
        yield deleting_objects(tools, account)
        yield Ability(duties=(recheck_duty(tools.ledger, account, tools.executor),))


def _of_cdn(
    tools: Tools, storage: Account | None, targets: Mapping[str, Account]
) -> Iterator[Ability]:
    if targets:
        yield copying(tools, targets, storage)
    else:
        log.info("cdn is off: no target is configured", targets=tools.settings.cdn_targets)


def _of_cloudinary(tools: Tools, account: CloudinaryAccount | None) -> Iterator[Ability]:
    if account is not None:
        yield deleting_assets(tools, account)
        yield mirroring(tools, account)


def _checking(tools: Tools, grounds: Grounds) -> Iterator[Ability]:
    settings = tools.settings
    if grounds:
        daily = check_duty(
            tools.database,
            tools.worker_id,
            grounds,
            tools.executor,
            daily_at=settings.check_daily_at,
            options=Options(
                repair=settings.check_repair, max_deletions=settings.check_max_deletions
            ),
        )
        yield Ability(duties=(daily,))


def _grounds(
    tools: Tools,
    storage: Account | None,
    targets: Mapping[str, Account],
    cloudinary: CloudinaryAccount | None,
) -> Grounds:
    found = places(tools.settings, primary=storage, targets=targets)
    if cloudinary is None:
        return Grounds(found)
    return Grounds(found, CloudinaryPlace(cloudinary.access.cloud_name, Library(cloudinary)))
