"""The buckets of one account, which share a client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from threading import Lock

from worker.storage.config import StorageTarget
from worker.storage.store import ObjectStore
from worker.storage.throttle import Turns


class Account:
    """Opens the buckets of an account, which share a client and a throttle; `target` is any of
    them.
    """

    def __init__(self, target: StorageTarget, *, throttle: Turns | None = None) -> None:
        self._target = target
        self._throttle = throttle
        self._stores: dict[str, ObjectStore] = {}
        self._lock = Lock()

    @property
    def target(self) -> StorageTarget:
        """The bucket that it was made with."""
        return self._target

    def bucket(self, name: str) -> ObjectStore:
        """The bucket of that name; whether it exists shows when it is used."""
        with self._lock:
            if name not in self._stores:
                client = next((s.client for s in self._stores.values()), None)
                target = replace(self._target, bucket=name)
                self._stores[name] = ObjectStore(target, client=client, throttle=self._throttle)
            return self._stores[name]

    def url_prefixes(self, buckets: Iterable[str]) -> list[str]:
        """What URLs of objects in these buckets begin with.

        The address alone says nothing: other people's buckets may be at the same one.
        """
        bases = [base for base in (self._target.public_url, self._target.endpoint) if base]
        return [f"{base.rstrip('/')}/{bucket}/" for base in bases for bucket in sorted(buckets)]


class ObjectShredder:
    """Deletes objects of an account, off the event loop."""

    def __init__(self, account: Account, executor: Executor) -> None:
        self._account = account
        self._executor = executor

    async def delete(
        self, bucket: str, keys: Sequence[str], *, uncertain: Sequence[str]
    ) -> Mapping[str, str]:
        """Delete the keys; returns an error for each that could not be."""
        loop = asyncio.get_running_loop()
        store = self._account.bucket(bucket)
        for key in uncertain:
            await loop.run_in_executor(self._executor, partial(store.abort_uploads, key))
        return await loop.run_in_executor(self._executor, store.delete_many, keys)
