"""An account on this machine, and the budget of its calls in a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from worker.cloudinary import Account, AdminApi, AssetStore, Budget
from worker.db.pool import Database
from worker.demo.cloudinary import LocalCloudinary
from worker.settings.cloudinary import CloudinaryAccess


@dataclass
class Site:
    """What a test of the client works with."""

    local: LocalCloudinary
    database: Database
    api: AdminApi
    account: Account

    @property
    def assets(self) -> AssetStore:
        return AssetStore(self.account)

    async def remaining(self) -> int:
        rows = await self.database.call("select remaining from media_worker.api_budgets")
        return int(rows[0]["remaining"])


@pytest.fixture
def local() -> Iterator[LocalCloudinary]:
    with LocalCloudinary() as local:
        yield local


@pytest.fixture
async def site(database: str, local: LocalCloudinary) -> AsyncIterator[Site]:
    access = CloudinaryAccess(local.cloud_name, local.api_key, local.api_secret, local.url)
    api, pool = AdminApi(access), Database(database, size=4)
    with ThreadPoolExecutor(4) as executor:
        yield Site(local, pool, api, Account(api, Budget(pool, local.cloud_name), executor))
    api.close()
    await pool.close()
