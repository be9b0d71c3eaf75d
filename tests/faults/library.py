"""A media library that is changed at random from both sides: by an application, and by people at
Cloudinary.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import errors

from tests.faults.application import Sessions
from tests.sync.site import Site
from worker.demo.cloudinary import Asset, Notification
from worker.demo.cloudinary.wire import Refused

LONGEST_HOLD = 0.4
LONGEST_PAUSE = 0.1
# What is not had back any more is refused, and so is a second living row of one asset.
EXPECTED = (errors.ObjectNotInPrerequisiteState, errors.UniqueViolation)
FILE = """
    insert into media_files (public_id, resource_type, secure_url) values (%s, %s, %s)
"""
ONE_FILE = "select id from media_files where public_id = %s and status = %s order by id limit 1"
ONE_ASSET = """
    select id from media_assets where public_id = %s and (deleted_at is null) = %s
    order by id limit 1
"""
Statement = Callable[[psycopg.Connection, str, random.Random], None]


@dataclass(frozen=True)
class Commit:
    """Seconds since 1970: when COMMIT was sent, and when it had returned."""

    sent: float
    returned: float


@dataclass
class Post:
    """Notifications that have not been delivered yet: some come late, some twice."""

    site: Site
    taken: int = 0
    late: list[Notification] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def deliver(self, dice: random.Random, *, all_of_it: bool = False) -> None:
        with self.lock:
            told = self.site.cloudinary.notifications.all
            waiting = [*self.late, *told[self.taken :]]
            self.taken = len(told)
            dice.shuffle(waiting)
            late = 0 if all_of_it else len(waiting) // 3
            self.late, now = waiting[:late], waiting[late:]
            again = dice.sample(told, min(2, len(told)))
        self.site.receive(*now, *now[:2], *again)


class MediaLibrary(Sessions):
    """Changes the assets of these names, and the rows that use them.

    `commits_of` has the application's commits, by transaction id.
    """

    def __init__(self, site: Site, *, names: Sequence[str], source: str, seed: int) -> None:
        super().__init__(site.url, seed=seed, paced=True)
        self._site = site
        self._account = site.cloudinary.account
        self._names = list(names)
        self._source = source
        self.post = Post(site)
        self.commits_of: dict[int, Commit] = {}
        self._files: list[Statement] = [
            self._insert_file, self._insert_file, self._soft_delete_files, self._hard_delete_file,
            self._undo_file, self._renew_file,
        ]  # fmt: skip
        self._assets: list[Statement] = [
            self._insert_asset, self._insert_asset, self._edit, self._edit, self._soft_delete,
            self._hard_delete, self._undo,
        ]  # fmt: skip
        self._there: list[Statement] = [
            self._upload_there, self._upload_there, self._edit_there, self._rename_there,
            self._delete_there,
        ]  # fmt: skip

    def write(self, connection: psycopg.Connection, dice: random.Random) -> None:
        connection.execute("select")  # it begins here: what is tried below is a part of it
        if dice.random() < 0.1:
            # alone: it takes a name, in an order that others need not share
            self._rename(connection, dice)
            return
        if dice.random() < 0.05:
            self.post.deliver(dice)
        if (leaving := self._leaving()) and dice.random() < 0.3:
            act = dice.choice([self._insert_file, self._insert_asset, self._undo])
            self._try(act, connection, dice.choice(leaving), dice)
            return
        if dice.random() < 0.3:
            self._try(self._give_up, connection, dice.choice(self._names), dice)
            return
        for name in sorted(dice.sample(self._names, dice.choice([1, 1, 1, 2]))):
            # files before assets, in every transaction
            for kinds in dice.choice([(self._files,), (self._assets,), (self._there,)] * 3 + [
                (self._files, self._assets), (self._there, self._assets),
            ]):  # fmt: skip
                self._try(dice.choice(kinds), connection, name, dice)
            if dice.random() < 0.1:
                time.sleep(dice.random() * LONGEST_HOLD)  # a transaction that is held open
        time.sleep(dice.random() * LONGEST_PAUSE)

    def give_up_some(self) -> None:
        """Every third asset is wanted no more."""
        with psycopg.connect(self._url) as connection:
            for name in self._names[::3]:
                self._give_up(connection, name, random.Random(0))
            self.commit(connection)

    def commit(self, connection: psycopg.Connection) -> None:
        row = connection.execute("select pg_current_xact_id_if_assigned()::text::bigint").fetchone()
        sent = time.time()
        connection.commit()
        if row and row[0]:
            self.commits_of[row[0]] = Commit(sent, time.time())

    def _leaving(self) -> list[str]:
        """What Cloudinary is just being asked to delete."""
        calls = self._site.cloudinary.calls.of("delete")
        return [name for c in calls if not c.status for name in c.params.entries("public_ids")]

    def _try(
        self, act: Statement, connection: psycopg.Connection, name: str, dice: random.Random
    ) -> None:
        with suppress(*EXPECTED), connection.transaction():
            act(connection, name, dice)

    # Rows that use assets

    def _insert_file(self, connection: psycopg.Connection, name: str, dice: random.Random) -> None:
        asset = self._account.get(name)
        if asset is None:
            return
        values = dice.choice([
            ("image", secure_url(asset)), (None, secure_url(asset)), ("image", None),
        ])  # fmt: skip
        connection.execute(FILE, (name, *values))

    def _soft_delete_files(self, connection: psycopg.Connection, name: str, _: object) -> None:
        connection.execute(
            "update media_files set status = 'deleted' where id in ("
            " select id from media_files where public_id = %s and status = 'active'"
            " order by id for update)",
            (name,),
        )

    def _hard_delete_file(
        self, connection: psycopg.Connection, name: str, dice: random.Random
    ) -> None:
        status = dice.choice(["active", "active", "deleted"])
        connection.execute(f"delete from media_files where id = ({ONE_FILE})", (name, status))

    def _undo_file(self, connection: psycopg.Connection, name: str, _: object) -> None:
        connection.execute(
            f"update media_files set status = 'active' where id = ({ONE_FILE})", (name, "deleted")
        )

    def _renew_file(self, connection: psycopg.Connection, name: str, _: object) -> None:
        """The file is uploaded again, and the row had back with it."""
        connection.execute(
            f"update media_files set status = 'active', secure_url = %s where id = ({ONE_FILE})",
            (secure_url(self._account.upload(name)), name, "deleted"),
        )

    def _give_up(self, connection: psycopg.Connection, name: str, dice: random.Random) -> None:
        """Nobody wants the asset any more."""
        self._soft_delete_files(connection, name, dice)
        dice.choice([self._soft_delete, self._hard_delete])(connection, name, dice)

    # Rows of the mirror

    def _insert_asset(self, connection: psycopg.Connection, name: str, dice: random.Random) -> None:
        source = dice.choice([None, f"{self._source}?{dice.randrange(3)}"])
        if source or self._account.get(name):
            connection.execute(
                "insert into media_assets (public_id, source_url, tags) values (%s, %s, %s)"
                " on conflict do nothing",
                (name, source, dice.choice([[], [_word(dice)]])),
            )

    def _edit(self, connection: psycopg.Connection, name: str, dice: random.Random) -> None:
        column, value = dice.choice([
            ("tags", [_word(dice)]), ("context", json.dumps({"alt": _word(dice)})),
            ("display_name", _word(dice)),
        ])  # fmt: skip
        connection.execute(
            f"update media_assets set {column} = %s where id = ({ONE_ASSET})".encode(),
            (value, name, True),
        )

    def _soft_delete(self, connection: psycopg.Connection, name: str, _: object) -> None:
        connection.execute(
            f"update media_assets set deleted_at = now() where id = ({ONE_ASSET})", (name, True)
        )

    def _hard_delete(self, connection: psycopg.Connection, name: str, dice: random.Random) -> None:
        lives = dice.random() < 0.7
        connection.execute(f"delete from media_assets where id = ({ONE_ASSET})", (name, lives))

    def _undo(self, connection: psycopg.Connection, name: str, _: object) -> None:
        connection.execute(
            f"update media_assets set deleted_at = null where id = ({ONE_ASSET})", (name, False)
        )

    def _rename(self, connection: psycopg.Connection, dice: random.Random) -> None:
        name, to = dice.sample(self._names, 2)
        with suppress(*EXPECTED), connection.transaction():
            connection.execute(
                f"update media_assets set public_id = %s where id = ({ONE_ASSET})",
                (to, name, True),
            )

    # People at Cloudinary

    def _upload_there(self, _: object, name: str, dice: random.Random) -> None:
        self._account.upload(name, tags=dice.choice([(), (_word(dice),)]))

    def _edit_there(self, _: object, name: str, dice: random.Random) -> None:
        change = dice.choice([
            {"tags": [_word(dice)]}, {"context": {"alt": _word(dice)}},
            {"display_name": _word(dice)},
        ])  # fmt: skip
        with suppress(KeyError):
            self._account.change(name, **change)  # type: ignore[arg-type]

    def _rename_there(self, _: object, name: str, dice: random.Random) -> None:
        with suppress(Refused):
            self._account.rename(name, dice.choice(self._names))

    def _delete_there(self, _: object, name: str, __: object) -> None:
        self._account.delete(name)


def secure_url(asset: Asset) -> str:
    """Where the asset's file is delivered, with its version."""
    key = asset.key
    return (
        f"https://res.cloudinary.com/local/{key.resource_type}/{key.type}"
        f"/v{asset.version}/{asset.public_id}.png"
    )


def _word(dice: random.Random) -> str:
    return f"word-{dice.randrange(1000)}"
