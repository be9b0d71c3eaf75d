"""An application that writes the same tracks from many sessions at once, at random."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from uuid import UUID

import psycopg

SESSIONS = 6
OWNER = UUID(int=7)

INSERT = """
    insert into tracks (id, user_id, title, provider, status, audio_url, created_at)
    values (%s, %s, 'Song', 'suno', 'completed', %s, now() - interval '14 days')
"""
STATEMENTS = {
    "insert": INSERT + " on conflict (id) do nothing",
    "upsert": INSERT + " on conflict (id) do update set audio_url = excluded.audio_url",
    "update": "update tracks set audio_url = %s where id = %s",
    "touch": "update tracks set title = title || '.', audio_url = audio_url where id = %s",
    "delete": "delete from tracks where id = %s",
}


class Sessions:
    """Six sessions; `trouble` collects every error, and every warning of ours.

    With `paced`, they write as many transactions as `allow` says.
    """

    def __init__(self, url: str, *, seed: int, paced: bool = False) -> None:
        self._url = url
        self._seed = seed
        self._allowed = threading.Semaphore(0) if paced else None
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.trouble: list[str] = []
        self.transactions = 0
        self.commits = 0

    def start(self) -> None:
        for number in range(SESSIONS):
            thread = threading.Thread(target=self._session, args=(self._seed + number,))
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """No more transactions; returns when all have ended."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def allow(self, transactions: int) -> None:
        """So many more."""
        assert self._allowed
        self._allowed.release(transactions)

    def write(self, connection: psycopg.Connection, dice: random.Random) -> None:
        """The statements of one transaction."""
        raise NotImplementedError

    def commit(self, connection: psycopg.Connection) -> None:
        """The end of a transaction that is not rolled back."""
        connection.commit()

    def _session(self, seed: int) -> None:
        dice = random.Random(seed)
        with psycopg.connect(self._url) as connection:
            connection.add_notice_handler(self._notice)
            while self._goes_on():
                try:
                    self._transaction(connection, dice)
                except psycopg.Error as error:
                    self.trouble.append(f"{type(error).__name__}: {error}")
                    connection.rollback()

    def _goes_on(self) -> bool:
        while not self._ended.is_set():
            if self._allowed is None or self._allowed.acquire(timeout=0.1):
                return True
        return False

    def _transaction(self, connection: psycopg.Connection, dice: random.Random) -> None:
        commits = dice.random() < 0.8
        try:
            self.write(connection, dice)
            if commits:
                self.commit(connection)
            else:
                connection.rollback()
        finally:
            with self._lock:
                self.transactions += 1
                self.commits += commits
        time.sleep(dice.random() * 0.05)

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.trouble.append(f"warning: {notice.message_primary}")


class Application(Sessions):
    """It writes generated tracks."""

    def __init__(self, url: str, *, tracks: Sequence[UUID], urls: Sequence[str], seed: int) -> None:
        super().__init__(url, seed=seed)
        self._tracks = sorted(tracks)
        self._urls = urls

    def write(self, connection: psycopg.Connection, dice: random.Random) -> None:
        # in one order: what is looked for is not the application's own deadlocks
        for track in sorted(dice.sample(self._tracks, dice.choice([1, 1, 1, 2, 4]))):
            self._statement(connection, track, dice)
            if dice.random() < 0.1:
                time.sleep(dice.random())  # a transaction that is held open

    def _statement(self, connection: psycopg.Connection, track: UUID, dice: random.Random) -> None:
        name = dice.choice(["insert", "insert", "upsert", "update", "update", "touch", "delete"])
        values: dict[str, tuple[object, ...]] = {
            "insert": (track, OWNER, dice.choice(self._urls)),
            "upsert": (track, OWNER, dice.choice(self._urls)),
            "update": (dice.choice(self._urls), track),
            "touch": (track,),
            "delete": (track,),
        }
        connection.execute(STATEMENTS[name], values[name])
