"""What is undone leaves nothing behind: a rolled-back insert, and a deleted track."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg

from worker.demo.bodies import media
from worker.demo.proof import Check
from worker.demo.scene import Step
from worker.demo.scenes.songs import COLUMNS, Song, Songs, paced
from worker.demo.stage import BUCKETS, Stage

DUE = timedelta(days=13, hours=6)
SECONDS = 0.7  # that a file takes to come


class Undoing:
    """One track is inserted and rolled back, another one is archived and deleted."""

    title = "Undone"
    story = "A transaction is rolled back, an archived track is deleted."
    columns = COLUMNS

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        files = {
            "audio": [paced(media("melody.mp3"), SECONDS)],
            "cover": [paced(media("cover.jpg"), SECONDS)],
            "video": [paced(media("clip.mp4"), SECONDS)],
        }
        self._never = Song("Never was", "rolled back", DUE, files)
        self._farewell = Song("Farewell", "to be deleted", DUE, files)
        self._songs = Songs(stage, [self._never, self._farewell])
        self._open: psycopg.Connection[Any] | None = None
        self._had: list[str] = []

    def steps(self) -> Sequence[Step]:
        """The open transaction is there while another track is archived."""
        return [
            Step(
                "begin; insert into tracks ('Never was')   -- and, from elsewhere, 'Farewell'",
                self._insert,
                lambda: self._songs.state(self._farewell).status == "completed",
            ),
            Step("rollback", self._roll_back, lambda: True),
            Step("delete from tracks where title = 'Farewell'", self._delete, self._vanished),
        ]

    def rows(self) -> Sequence[Sequence[str]]:
        """A row for each song."""
        return self._songs.rows()

    def checks(self) -> Sequence[Check]:
        """Nothing is left of either, and nothing else has gone."""
        rows = self._stage.value("select count(*) from tracks where id = %s", self._never.id)
        state = self._songs.state(self._never)
        asked = len(self._songs.answers(self._never))
        return [
            Check(f"{self._never.title}: rows, job row, requests, objects", "0, none, 0, 0",
                  f"{rows}, {state.status or 'none'}, {asked}, {len(self._objects(self._never))}"),
            Check(f"{self._farewell.title}: objects before and after", "3, 0",
                  f"{len(self._had)}, {len(self._objects(self._farewell))}"),
            Check(f"{self._farewell.title}: in storage_cleanup_queue", "3 completed",
                  self._deletions()),
            Check("objects in all buckets that no track owns", "0", str(self._strangers())),
        ]  # fmt: skip

    def _insert(self) -> None:
        self._open = self._stage.connect()
        self._open.execute("begin")
        self._songs.insert(self._never, connection=self._open)
        self._songs.insert(self._farewell)

    def _roll_back(self) -> None:
        if self._open is not None:
            self._open.execute("rollback")
            self._open.close()

    def _delete(self) -> None:
        self._had = self._objects(self._farewell)
        self._stage.sql("delete from tracks where id = %s", self._farewell.id)

    def _vanished(self) -> bool:
        return not self._objects(self._farewell) and self._deletions() == "3 completed"

    def _objects(self, song: Song) -> list[str]:
        keys = [key for bucket in BUCKETS.values() for key in self._stage.keys(bucket)]
        return [key for key in keys if str(song.id) in key]

    def _deletions(self) -> str:
        query = "select status from storage_cleanup_queue where source_id = %s order by status"
        found = [row["status"] for row in self._stage.sql(query, str(self._farewell.id))]
        return f"{len(found)} {' '.join(sorted(set(found)))}".strip()

    def _strangers(self) -> int:
        tracks = {str(row["id"]) for row in self._stage.sql("select id from tracks")}
        keys = [key for bucket in BUCKETS.values() for key in self._stage.keys(bucket)]
        return sum(key.rpartition("/")[2].partition(".")[0] not in tracks for key in keys)
