"""A worker's run, step by step, without a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from tests.archive.conftest import Tracks


@dataclass
class Run:
    """A claimed job."""

    tracks: Tracks
    job: UUID
    token: UUID

    @classmethod
    def of(cls, tracks: Tracks, track: UUID) -> Run:
        """Claim the track's job for a worker that lives."""
        worker, run = uuid4(), cls(tracks, (tracks.job(track) or {})["id"], uuid4())
        tracks.sql("select media_worker.beat(%s, 'host', 1, '1', array['archive'], 1)", worker)
        claimed = tracks.sql(
            "select * from media_worker.claim('archive', array[%s], %s, %s)",
            run.job, worker, run.token,
        )  # fmt: skip
        assert len(claimed) == 1
        return run

    def load(self) -> dict[str, Any]:
        loaded: dict[str, Any] = self.tracks.one(
            "select media_worker.archive_load(%s, %s)", self.job, self.token
        )
        return loaded

    def fail(self, message: str = "404", language: str = "en") -> None:
        self.tracks.sql(
            "select media_worker.archive_fail(%s, %s, %s, %s)",
            self.job, self.token, message, language,
        )  # fmt: skip

    def again(self, *, counted: bool) -> None:
        """Give it back, to be run at once."""
        self.tracks.sql(
            "select media_worker.reschedule('archive', %s, array[%s], array[null]::float8[],"
            " array['later'], %s)",
            self.token, self.job, counted,
        )  # fmt: skip
