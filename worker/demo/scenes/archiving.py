"""archive: tracks are copied into the team's storage before their provider deletes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

from worker.demo.behaviour import Behaviour, page, refusal
from worker.demo.bodies import Body, GeneratedMp3, media
from worker.demo.proof import Check
from worker.demo.scene import Step
from worker.demo.scenes.songs import COLUMNS, LISTENER, Song, Songs, State, paced
from worker.demo.stage import BUCKETS, Stage, fingerprint

ARCHIVE_AFTER = timedelta(days=13)
SECONDS = 2.5  # that a file takes to come, so that there is something to see
MELODY, COVER, CLIP = media("melody.mp3"), media("cover.jpg"), media("clip.mp4")


class Archiving:
    """What becomes of tracks that are due, not due, expired, or badly served."""

    title = "Tracks"
    story = "An application inserts rows, and does nothing else."
    columns = COLUMNS

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._due = _due_songs()
        self._again = _song("Second wind", "500 twice", 13.1, refusal(500), refusal(500),
                            _slow(MELODY))  # fmt: skip
        self._partly = _partly_gone()
        self._future = _song("Next week", "4 days old", 4, Behaviour())
        self._late = _song("Too late", "expired, gone", 16, refusal(404))
        self._page = _song("Sign in", "web page, 200", 13.5, page())
        self._stored = [*self._due, self._again, self._partly]
        self._cast = [*self._stored, self._future, self._late, self._page]
        self._songs = Songs(stage, self._cast)

    def steps(self) -> Sequence[Step]:
        """Insert them all, each in a transaction of its own."""
        said = "insert into tracks (user_id, title, provider, status, created_at, audio_url, ...)"
        times = f"values (...)   -- {len(self._cast)} times"
        return [Step(f"{said} {times}", self._insert, self._settled)]

    def rows(self) -> Sequence[Sequence[str]]:
        """A row for each song."""
        return self._songs.rows()

    def checks(self) -> Sequence[Check]:
        """Bytes, rows, schedule, errors and figures."""
        return [
            *self._bytes(),
            *self._good_ends(),
            *self._not_due(),
            *self._bad_ends(),
            self._figures(),
        ]

    def _insert(self) -> None:
        for song in self._cast:
            self._songs.insert(song)

    def _settled(self) -> bool:
        states = self._songs.states()
        working = [state for state in states if state.status in ("pending", "processing")]
        begun = [state for state in states if state.status]
        return len(begun) == len(self._cast) - 1 and not working

    def _bytes(self) -> list[Check]:
        gone = (self._partly, "cover")
        files = [(song, role) for song in self._stored for role in song.files]
        return [self._songs.same_bytes(*file) for file in files if file != gone]

    def _good_ends(self) -> list[Check]:
        states = [self._songs.state(song) for song in self._stored]
        sources = [state.source for state in states if state.archived]
        again, partly = self._songs.state(self._again), self._songs.state(self._partly)
        missing = (partly.metadata or {}).get("missing")
        return [
            Check("rows that are archived and play from storage", f"{len(states)}",
                  f"{sources.count('storage')}"),
            Check(f"{self._due[0].title}: what a player loads",
                  f"from storage: {self._due[0].original('audio')}",
                  f"from {states[0].source}: {_download(states[0].plays)}"),
            Check(f"{self._again.title}: tries", "completed after 3: 500 500 200",
                  f"{again.status} after {again.attempts}: "
                  f"{' '.join(self._songs.answers(self._again))}"),
            Check(f"{self._partly.title}: missing", "completed without cover",
                  f"{partly.status} without {' '.join(missing or ['anything'])}"),
        ]  # fmt: skip

    def _not_due(self) -> list[Check]:
        song, state = self._future, self._songs.state(self._future)
        created = state.created_at
        waiting = self._stage.value("select count(*) from procrastinate.procrastinate_jobs")
        asked = len(self._songs.answers(song))
        return [
            Check(f"{song.title}: due 13 days after created_at",
                  str(created and created + ARCHIVE_AFTER), str(state.archive_scheduled_at)),
            Check(f"{song.title}: job row, requests, jobs in the queue", "none, 0, 0",
                  f"{state.status or 'none'}, {asked}, {waiting}"),
        ]  # fmt: skip

    def _bad_ends(self) -> list[Check]:
        late, page_ = self._songs.state(self._late), self._songs.state(self._page)
        letters = "select link from notifications where user_id = %s order by link"
        links = [row["link"].rpartition("=")[2] for row in self._stage.sql(letters, LISTENER)]
        keys = [key for bucket in BUCKETS.values() for key in self._stage.keys(bucket)]
        stored = sum(str(song.id) in key for key in keys for song in (self._late, self._page))
        return [
            Check(f"{self._late.title}: error", "failed: expired at the provider", _end(late),
                  within=True),
            Check(f"{self._page.title}: error", "failed: expected audio, but found an HTML",
                  _end(page_), within=True),
            Check("the two: tries, objects", "1 1, 0",
                  f"{late.attempts} {page_.attempts}, {stored}"),
            Check("notifications to the owner", f"of track {self._page.id}",
                  f"of track {' '.join(links) or '(none)'}"),
        ]  # fmt: skip

    def _figures(self) -> Check:
        names = ("total_archived", "pending_archive", "urgent_archive_needed", "expired_tracks",
                 "failed_archive", "archive_percentage")  # fmt: skip
        figures = self._stage.sql("select * from archive_statistics")[0]
        good, all_ = len(self._stored), len(self._cast)
        wanted = (good, 2, 1, 1, 2, round(100 * good / all_, 1))
        return Check(
            "archive_statistics",
            ", ".join(f"{name} {figure}" for name, figure in zip(names, wanted, strict=True)),
            ", ".join(f"{name} {figures[name]}" for name in names),
        )


def _due_songs() -> list[Song]:
    all_files = {"audio": [_slow(MELODY)], "cover": [_slow(COVER)], "video": [_slow(CLIP)]}
    long_mix = _slow(GeneratedMp3(7, 16_000_000))
    real_type = _slow(media("melody.m4a"))
    return [
        Song("Morning light", "cover and video", timedelta(days=13, hours=1), all_files),
        Song("Last minute", "expires in 1 h", timedelta(days=14, hours=23),
             {"audio": [_slow(MELODY)], "cover": [_slow(COVER)]}),
        Song("Long mix", "16 MB", timedelta(days=14), {"audio": [long_mix]}),
        Song("Sketch", "due at once", timedelta(minutes=1),
             {"audio": [_slow(MELODY)]}, provider="Replicate"),
        Song("Other name", "is an M4A", timedelta(days=14), {"audio": [real_type]},
             suffix="m4a"),
    ]  # fmt: skip


def _partly_gone() -> Song:
    files = {"audio": [_slow(MELODY)], "cover": [refusal(404)]}
    return Song("No picture", "cover is gone", timedelta(days=14), files)


def _song(title: str, special: str, days: float, *answers: Behaviour) -> Song:
    return Song(title, special, timedelta(days=days), {"audio": answers})


def _slow(body: Body) -> Behaviour:
    return paced(body, SECONDS)


def _end(state: State) -> str:
    return f"{state.status}: {state.error}"


def _download(url: str | None) -> str:
    """As a player does, without any right."""
    parts = urlsplit(url or "")
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path)
        return fingerprint(connection.getresponse().read())
    except OSError as error:
        return str(error)
    finally:
        connection.close()
