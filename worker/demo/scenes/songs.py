"""Songs for the scenes: what their provider answers, their row, and how it stands with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from worker.demo.behaviour import Behaviour
from worker.demo.bodies import Body
from worker.demo.proof import Check
from worker.demo.stage import BUCKETS, Stage, fingerprint

EXTENSIONS = {"audio": "mp3", "cover": "jpg", "video": "mp4"}
COLUMNS = ("track", "what is special", "provider", "job", "try", "outcome")
LISTENER = uuid4()

INSERT = """
    insert into tracks (id, user_id, title, provider, status, created_at,
                        audio_url, cover_url, video_url)
    values (%s, %s, %s, %s, 'completed', now() - %s, %s, %s, %s)
"""
STATE = """
    select t.id is not null as exists, t.created_at, t.archive_scheduled_at,
        t.archived_to_storage as archived, t.storage_audio_url as audio,
        t.storage_cover_url as cover, t.storage_video_url as video, p.source,
        p.audio_url as plays, j.status, j.attempts, j.error_message as error, j.metadata
    from unnest(%s::uuid[]) with ordinality as wanted (id, place)
    left join tracks as t on t.id = wanted.id
    left join track_playback as p on p.track_id = wanted.id
    left join track_archiving_jobs as j on j.track_id = wanted.id
    order by place
"""


@dataclass(frozen=True)
class Song:
    """A track of the application's. `files`: by role, what its provider answers, in turn.

    `suffix` is what its audio is stored as.
    """

    title: str
    special: str
    age: timedelta
    files: Mapping[str, Sequence[Behaviour]]
    provider: str = "suno"
    suffix: str = "mp3"
    id: UUID = field(default_factory=uuid4)

    def path(self, role: str) -> str:
        """Where its file is at the provider."""
        return f"/{self.title.lower().replace(' ', '-')}.{EXTENSIONS[role]}"

    def key(self, role: str) -> str:
        """Where its file belongs in its bucket."""
        return f"{LISTENER}/{self.id}.{self.suffix if role == 'audio' else EXTENSIONS[role]}"

    def original(self, role: str) -> str:
        """Size and hash of the file that the provider has in the end."""
        return fingerprint(b"".join(self.files[role][-1].body.blocks()))


@dataclass(frozen=True)
class State:
    """How a song stands in the database."""

    exists: bool
    created_at: datetime | None
    archive_scheduled_at: datetime | None
    archived: bool | None
    audio: str | None
    cover: str | None
    video: str | None
    source: str | None
    plays: str | None
    status: str | None
    attempts: int | None
    error: str | None
    metadata: Mapping[str, Any] | None

    @property
    def stored(self) -> list[str]:
        """The roles of the files that are in storage, as the row says."""
        return [role for role in BUCKETS if getattr(self, role)]


class Songs:
    """Songs on a stage."""

    def __init__(self, stage: Stage, songs: Sequence[Song]) -> None:
        self._stage = stage
        self._songs = songs

    def insert(self, song: Song, *, connection: psycopg.Connection[Any] | None = None) -> None:
        """Have the provider serve a song, and insert its row."""
        provider = self._stage.provider
        urls = {role: provider.serve(song.path(role), *song.files[role]) for role in song.files}
        (connection or self._stage.connection).execute(
            INSERT,
            (song.id, LISTENER, song.title, song.provider, song.age, *map(urls.get, BUCKETS)),
        )

    def states(self) -> list[State]:
        """How they stand, in their order."""
        ids = [song.id for song in self._songs]
        return [State(**row) for row in self._stage.sql(STATE, ids)]

    def state(self, song: Song) -> State:
        """How one of them stands."""
        return State(**self._stage.sql(STATE, [song.id])[0])

    def answers(self, song: Song, role: str = "audio") -> list[str]:
        """What the provider has answered for a file of it so far."""
        requests = self._stage.provider.requests(song.path(role))
        return [str(request.status) for request in requests if request.status]

    def rows(self) -> list[tuple[str, ...]]:
        """A row for each, for the screen."""
        return [self._row(*pair) for pair in zip(self._songs, self.states(), strict=True)]

    def same_bytes(self, song: Song, role: str) -> Check:
        """What is in the bucket is what the provider has."""
        bucket, key = BUCKETS[role], song.key(role)
        what = f"{song.title}: {role} in {bucket}"
        return Check(what, song.original(role), self._stage.stored(bucket, key))

    def _row(self, song: Song, state: State) -> tuple[str, ...]:
        return (
            song.title,
            song.special,
            " ".join(self.answers(song)),
            state.status or "",
            str(state.attempts or ""),
            _outcome(state),
        )


def paced(body: Body, seconds: float) -> Behaviour:
    """A file that takes so long to come."""
    return Behaviour(body, bytes_per_second=(body.size or 0) / seconds)


def _outcome(state: State) -> str:
    if not state.exists:
        return "(no such row)"
    if state.stored:
        return " ".join(state.stored)
    if state.status is None and state.archive_scheduled_at is not None:
        return f"due {state.archive_scheduled_at:%Y-%m-%d}"
    return state.error or ""
