"""An application that writes a catalogue of audio from many sessions at once, at random."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg import errors

from tests.faults.application import Sessions

LONGEST_HOLD = 0.6
INSERT = """
    insert into audio_tracks (track_id, file_path, sidecar_path, metadata)
    values (%s, %s, %s, %s) on conflict (track_id)
"""
CHANGES = ("file_path", "sidecar_path", "metadata")
# An application may call for what is not there, or has no file: that it is told.
EXPECTED = (errors.NoDataFound, errors.InvalidParameterValue)
# An id that is free for sure, since each is taken under a lock of its own.
TAKE = "select pg_try_advisory_xact_lock(hashtext(%s))"
RENAME = """
    update audio_tracks set track_id = %(to)s where track_id = %(track)s
        and not exists (select from audio_tracks where track_id = %(to)s)
"""


class Catalogue(Sessions):
    """Writes `tracks` with any of these files and sidecars; `names` only come by renaming."""

    def __init__(
        self,
        url: str,
        *,
        tracks: Sequence[str],
        names: Sequence[str],
        files: Sequence[str],
        sidecars: Sequence[str],
        seed: int,
    ) -> None:
        super().__init__(url, seed=seed, paced=True)
        self._tracks = tracks
        self._names = names
        self._files = files
        self._sidecars = sidecars

    def write(self, connection: psycopg.Connection, dice: random.Random) -> None:
        if dice.random() < 0.1:
            # alone: it writes two tracks, in an order that others need not share
            self._rename(connection, dice)
            return
        chosen = dice.sample([*self._tracks, *self._names], dice.choice([1, 1, 1, 2, 4]))
        for track in sorted(chosen):
            for _ in range(dice.choice([1, 1, 2, 3])):
                self._statement(connection, track, dice)
            if dice.random() < 0.1:
                time.sleep(dice.random() * LONGEST_HOLD)  # a transaction that is held open

    def _statement(self, connection: psycopg.Connection, track: str, dice: random.Random) -> None:
        kinds: list[Callable[[psycopg.Connection, str, random.Random], None]] = [
            self._update, self._update, self._switch, self._delete, self._delete, self._call,
            self._call, self._save,
        ]  # fmt: skip
        if track in self._tracks:
            kinds += [self._insert] * 5
        dice.choice(kinds)(connection, track, dice)

    def _insert(self, connection: psycopg.Connection, track: str, dice: random.Random) -> None:
        conflict = dice.choice(
            ["do nothing", "do update set file_path = excluded.file_path, cdn_enabled = true"]
        )
        values = [self._value(column, dice) for column in CHANGES]
        connection.execute((INSERT + conflict).encode(), (track, *values))

    def _update(self, connection: psycopg.Connection, track: str, dice: random.Random) -> None:
        column = dice.choice(CHANGES)
        query = f"update audio_tracks set {column} = %s where track_id = %s"
        connection.execute(query.encode(), (self._value(column, dice), track))

    def _switch(self, connection: psycopg.Connection, track: str, _: random.Random) -> None:
        connection.execute(
            "update audio_tracks set cdn_enabled = not cdn_enabled where track_id = %s", (track,)
        )

    def _save(self, connection: psycopg.Connection, track: str, _: random.Random) -> None:
        """A whole row, as it was read before."""
        connection.execute(
            'update audio_tracks set storage_locations = \'{"r2_cdn": true, "second": true}\','
            " cdn_url = 'https://cdn.example.com/old.mp3' where track_id = %s",
            (track,),
        )

    def _delete(self, connection: psycopg.Connection, track: str, _: random.Random) -> None:
        connection.execute("delete from audio_tracks where track_id = %s", (track,))

    def _call(self, connection: psycopg.Connection, track: str, dice: random.Random) -> None:
        operation = dice.choice(["upload", "upload", "delete"])
        try:
            with connection.transaction():
                connection.execute("select sync_to_cdn(%s, %s)", (track, operation))
        except EXPECTED:
            pass

    def _rename(self, connection: psycopg.Connection, dice: random.Random) -> None:
        track, to = dice.choice(self._tracks), dice.choice(self._names)
        (is_free,) = connection.execute(TAKE, (to,)).fetchone() or (False,)
        if is_free:
            connection.execute(RENAME, {"track": track, "to": to})

    def _value(self, column: str, dice: random.Random) -> str | None:
        if column == "metadata":
            return json.dumps({"title": f"Song {dice.randrange(1000)}"})
        if column == "sidecar_path":
            return dice.choice([None, *self._sidecars])
        # now and then there is no file yet
        return None if dice.random() < 0.05 else dice.choice(self._files)
