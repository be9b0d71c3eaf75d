"""Whatever happens on both sides, in any order: at rest they agree, and nothing wanted is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.wait import wait_until
from tests.sync.site import Site
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import media
from worker.demo.provider import Provider

NAMES = [f"asset-{number}" for number in range(12)]
TABLES = (
    "media_worker.asset_pushes", "media_webhook_events", "cloudinary_cleanup_queue",
    "media_sync_runs",
)  # fmt: skip
AT_REST = "select " + " and ".join(
    f"not exists (select from {table} where status in ('pending', 'processing'))"
    for table in TABLES
)
KILL_EVERY = 40  # changes


class Hands:
    """Random changes by the application and by people at Cloudinary."""

    def __init__(self, site: Site, url: str, chance: random.Random) -> None:
        self._site, self._url, self._chance = site, url, chance
        self._told = 0
        self.moves: list[Callable[[str], object]] = [
            self.insert, self.edit, self.edit, self.soft_delete, self.hard_delete, self.undo,
            self.upload_there, self.edit_there, self.edit_there, self.delete_there,
        ]  # fmt: skip

    def move(self) -> None:
        self._chance.choice(self.moves)(self._chance.choice(NAMES))

    def insert(self, name: str) -> None:
        self._site.sql(
            "insert into media_assets (public_id, source_url) values (%s, %s)"
            " on conflict do nothing",
            name, self._url,
        )  # fmt: skip

    def edit(self, name: str) -> None:
        tag = f"here-{self._chance.randrange(1000)}"
        self._site.sql(
            "update media_assets set tags = array[%s] where public_id = %s and deleted_at is null",
            tag, name,
        )  # fmt: skip

    def soft_delete(self, name: str) -> None:
        self._site.sql("update media_assets set deleted_at = now() where public_id = %s", name)

    def hard_delete(self, name: str) -> None:
        self._site.sql("delete from media_assets where public_id = %s", name)

    def undo(self, name: str) -> None:
        self._site.sql(
            "update media_assets as a set deleted_at = null where a.id = ("
            "  select id from media_assets where public_id = %s and deleted_at is not null limit 1)"
            " and not exists ("
            "  select from media_assets where public_id = %s and deleted_at is null)",
            name, name,
        )  # fmt: skip

    def upload_there(self, name: str) -> None:
        self._site.cloudinary.account.upload(name)

    def edit_there(self, name: str) -> None:
        if self._site.cloudinary.account.get(name):
            tag = f"there-{self._chance.randrange(1000)}"
            with suppress(KeyError):  # a worker has just deleted it
                self._site.cloudinary.account.change(name, tags=[tag])

    def delete_there(self, name: str) -> None:
        self._site.cloudinary.account.delete(name)

    def deliver(self) -> None:
        """Hand over what Cloudinary has to tell by now, in another order, some of it twice."""
        told = self._site.cloudinary.notifications.all
        new, self._told = told[self._told :], len(told)
        self._chance.shuffle(new)
        self._site.receive(*new, *new[:2])


@pytest.mark.soak
def test_at_rest_table_and_account_agree(site: Site, provider: Provider) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    hands = Hands(
        site, provider.serve("/a.png", Behaviour(body=media("cover.png"))), random.Random(seed)
    )
    steady, victim = site.start(), site.start()
    for number in range(200):
        hands.move()
        if number % 10 == 9:
            hands.deliver()
        if number % KILL_EVERY == KILL_EVERY - 1:
            site.sql("select request_media_sync(force => true)")
            victim.kill()
            victim = site.start()
    _settle(site, hands)
    assert steady.returncode is None
    rows = site.rows()
    for name, row in list(rows.items()):
        if row["sync_status"] == "error":
            # the application wants what is no longer there, and is told so
            assert site.cloudinary.account.get(name) is None, row
            site.sql("delete from media_assets where id = %s", row["id"])
    site.assert_mirrored()


def _settle(site: Site, hands: Hands) -> None:
    # claims of killed workers are freed when their leases are over
    for _ in range(2):
        hands.deliver()
        wait_until(lambda: site.one(AT_REST), timeout=60, message="rest")
        site.sql("select request_media_sync(force => true)")
    wait_until(lambda: site.one(AT_REST), timeout=60, message="rest")
