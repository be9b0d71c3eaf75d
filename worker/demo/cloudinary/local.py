"""A Cloudinary account on this machine, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from worker.demo.cloudinary.account import Account
from worker.demo.cloudinary.admin import Admin
from worker.demo.cloudinary.budget import Budget
from worker.demo.cloudinary.calls import Calls
from worker.demo.cloudinary.delivery import Delivery
from worker.demo.cloudinary.desk import Desk
from worker.demo.cloudinary.faults import Faults
from worker.demo.cloudinary.listing import Listing
from worker.demo.cloudinary.notices import Writer
from worker.demo.cloudinary.outbox import Outbox
from worker.demo.cloudinary.serving import Pauses, Server
from worker.demo.cloudinary.shapes import Shapes
from worker.demo.cloudinary.signing import Keys
from worker.demo.cloudinary.store import Store
from worker.demo.cloudinary.uploads import Uploads


class LocalCloudinary:
    """Serves on 127.0.0.1 from its making until `stop`; a context manager. Many threads may use it.

    - `url`: for `CLOUDINARY_API_BASE`; files are delivered from there too, unless
      `delivery_base` (`https://res.cloudinary.com`) makes URLs that look like the real ones.
    - `account`: its assets, its journal, changes made by hand.
    - `faults`: what is to go wrong; `budget`: the Admin API calls that are left.
    - `calls`: what was asked, counted by kind.
    - `notifications`: sent to `notification_url`, or kept.

    `clock` gives seconds since 1970; `algorithm` is `sha1` or `sha256`.
    """

    def __init__(
        self,
        *,
        cloud_name: str = "local-cloud",
        api_key: str = "local-cloudinary-key",
        api_secret: str = "local-cloudinary-secret",  # noqa: S107 - obviously not a real one
        algorithm: str = "sha1",
        notification_url: str | None = None,
        delivery_base: str | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.cloud_name, self.api_key, self.api_secret = cloud_name, api_key, api_secret
        self._pauses = Pauses()
        self._server = Server(lambda request: self._desk.answer(request), clock, port)
        keys = Keys(api_key, api_secret, algorithm)
        shapes = Shapes(delivery_base or self.url, cloud_name, keys)
        store = Store(clock)
        self.budget = Budget(clock)
        self.faults = Faults(self.budget, clock)
        self.notifications = Outbox(Writer(keys, shapes, clock), notification_url)
        store.listeners.append(self.notifications.tell)
        uploads = Uploads(store, shapes, keys, clock)
        self.account = Account(store, uploads.presets, clock)
        self._desk = Desk(
            cloud_name,
            keys,
            uploads=uploads,
            admin=Admin(store, shapes, Listing(store, self.faults)),
            delivery=Delivery(store, keys),
            budget=self.budget,
            faults=self.faults,
            pause=self._pauses,
        )
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cut all connections and stop; may be called twice."""
        if not self._pauses.stopping.is_set():
            self._pauses.stopping.set()
            self._server.stop()
            self.notifications.stop()

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def cloudinary_url(self) -> str:
        """For `CLOUDINARY_URL`."""
        return f"cloudinary://{self.api_key}:{self.api_secret}@{self.cloud_name}"

    @property
    def calls(self) -> Calls:
        """What was asked so far."""
        return self._desk.calls

    def reset(self) -> None:
        """Empty account and journal; forget calls, faults and notifications."""
        self.faults.clear()
        self.account.clear()
        self.notifications.clear()
        self.calls.clear()
