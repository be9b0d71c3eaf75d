"""An application that changes work rows at random, in several sessions at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg

LONGEST_HOLD = 1.0  # seconds that a transaction is held open, now and then


class Undo(Exception):
    """Rolls a transaction back."""


class Session:
    """One connection that inserts, asks again, upserts and deletes rows of its own."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._random = random.Random(seed)
        self._mine: list[UUID] = []
        self._fresh: list[UUID] = []
        self.statements = 0
        self.error: Exception | None = None

    def run(self, until: threading.Event) -> None:
        """Change rows until told to stop, or until a statement fails."""
        try:
            with psycopg.connect(self._url) as connection:
                while not until.is_set():
                    self._transact(connection)
        except Exception as error:
            self.error = error

    def _transact(self, connection: psycopg.Connection[Any]) -> None:
        if self._fresh:
            self._hold_what_is_queued(connection)
        before = list(self._mine)
        try:
            with connection.transaction():
                for _ in range(self._random.choice((1, 1, 1, 2, 3))):
                    self._change(connection)
                    self.statements += 1
                if self._random.random() < 0.05:
                    time.sleep(self._random.uniform(0, LONGEST_HOLD))
                if self._random.random() < 0.15:
                    raise Undo
            self._fresh = self._mine[len(before) :]
        except Undo:
            self._mine, self._fresh = before, []
        time.sleep(self._random.uniform(0, 0.15))

    def _hold_what_is_queued(self, connection: psycopg.Connection[Any]) -> None:
        # Their jobs are in the queue by now. Whoever takes one finds rows that are held, and the
        # commit wakes nobody: they were runnable before, and are so afterwards.
        with connection.transaction():
            connection.execute(
                "update test_work set wanted = wanted + 1 where id = any (%s) and runnable",
                [self._fresh],
            )
            time.sleep(self._random.uniform(0, 0.3))
        self._fresh = []

    def _change(self, connection: psycopg.Connection[Any]) -> None:
        changes = (self._insert, self._insert, self._ask_again, self._ask_again, self._upsert)
        change = self._random.choice((*changes, self._postpone, self._delete))
        change(connection)

    def _insert(self, connection: psycopg.Connection[Any]) -> None:
        new = [uuid4() for _ in range(self._random.choice((1, 1, 1, 20, 100)))]
        connection.execute("insert into test_work (id) select unnest(%s::uuid[])", [new])
        self._mine += new

    def _ask_again(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "update test_work set status = 'pending', wanted = wanted + 1 where id = any (%s)",
            [self._some()],
        )

    def _postpone(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "update test_work set status = 'pending', wanted = wanted + 1,"
            " next_attempt_at = now() + interval '0.3 s' where id = any (%s)",
            [self._some()],
        )

    def _upsert(self, connection: psycopg.Connection[Any]) -> None:
        rows = sorted({*self._some(), uuid4()})
        connection.execute(
            "insert into test_work as t (id) select unnest(%s::uuid[]) on conflict (id) do update"
            " set status = 'pending', wanted = t.wanted + 1, next_attempt_at = null",
            [rows],
        )
        self._mine = sorted({*self._mine, *rows})

    def _delete(self, connection: psycopg.Connection[Any]) -> None:
        gone = set(self._some()[:3])
        connection.execute("delete from test_work where id = any (%s)", [list(gone)])
        self._mine = [row for row in self._mine if row not in gone]

    def _some(self) -> Sequence[UUID]:
        return self._random.sample(
            self._mine, min(len(self._mine), self._random.choice((1, 3, 40)))
        )


class Application:
    """Several sessions at once, for as long as the block lasts."""

    def __init__(self, url: str, *, sessions: int, seed: int) -> None:
        self._end = threading.Event()
        self.sessions = [Session(url, seed + number) for number in range(sessions)]
        self._threads = [
            threading.Thread(target=session.run, args=[self._end]) for session in self.sessions
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    @property
    def errors(self) -> list[Exception]:
        return [session.error for session in self.sessions if session.error]

    @property
    def statements(self) -> int:
        return sum(session.statements for session in self.sessions)
