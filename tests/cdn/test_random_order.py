"""Whatever an application does while workers are at it: no row ever lies, and all ends well."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.cdn.sql import FIRST, SECOND, AudioTracks, Run

TRACKS = ("a", "b", "c")
STEPS = 250
SEEDS = [*range(40), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(40, 400))]
Buckets = dict[tuple[str, str], str]  # what is on which target of which track


@pytest.mark.parametrize("seed", SEEDS)
def test_writes_and_runs_in_random_order(audio_tracks: AudioTracks, seed: int) -> None:
    chance, buckets = random.Random(seed), Buckets()
    writes = list(application(audio_tracks, chance))
    runs: list[Iterator[None]] = []
    for _ in range(STEPS):
        if chance.random() < 0.35:
            chance.choice(writes)()
        elif chance.random() < 0.4 or not runs:
            runs.extend(started(audio_tracks, chance, buckets))
        else:
            advance(runs, chance.choice(runs))
        assert lies(audio_tracks, buckets) == []
    while runs := [*runs, *started(audio_tracks, chance, buckets)]:
        advance(runs, runs[0])
        assert lies(audio_tracks, buckets) == []
    assert buckets == wanted(audio_tracks, buckets)
    failed = audio_tracks.sql("select * from cdn_sync_jobs where status <> 'completed'")
    assert failed == []


def application(tracks: AudioTracks, chance: random.Random) -> Iterator[Callable[[], None]]:
    """What it may do next."""
    number = iter(range(10_000))

    def insert() -> None:
        tracks.sql(
            "insert into audio_tracks (track_id, file_path, cdn_enabled) values (%s, %s, %s)"
            " on conflict (track_id) do update set file_path = excluded.file_path",
            chance.choice(TRACKS),
            chance.choice([None, *[f"{next(number)}.mp3"] * 4]),
            chance.random() < 0.8,
        )

    def replace() -> None:
        with tracks.connection.transaction():
            delete()
            insert()

    def save() -> None:
        """Save a row as it was read before, or as somebody likes it."""
        claims = chance.choice(["null", f"""'{{"{FIRST}": true, "{SECOND}": true}}'""", "'[]'"])
        tracks.update(f"storage_locations = {claims}, cdn_url = null", track=chance.choice(TRACKS))

    def rename() -> None:
        free = tracks.values(
            "select t from unnest(%s::text[]) as t"
            " where t not in (select track_id from audio_tracks)",
            list(TRACKS),
        )
        if free:
            tracks.update("track_id = %s", free[0], track=chance.choice(TRACKS))

    def delete() -> None:
        tracks.delete(chance.choice(TRACKS))

    def switch() -> None:
        tracks.update("cdn_enabled = not cdn_enabled", track=chance.choice(TRACKS))

    yield from [insert, insert, replace, save, rename, delete, delete, switch]


def started(
    tracks: AudioTracks, chance: random.Random, buckets: Buckets
) -> Iterator[Iterator[None]]:
    """A run of a piece of work that waits, if there is one."""
    waiting = tracks.sql("select track_id, target from cdn_sync_jobs where runnable order by id")
    if waiting:
        job = chance.choice(waiting)
        yield work(Run.of(tracks, job["track_id"], job["target"]), buckets)


def advance(runs: list[Iterator[None]], run: Iterator[None]) -> None:
    try:
        next(run)
    except StopIteration:
        runs.remove(run)


def work(run: Run, buckets: Buckets) -> Iterator[None]:
    """What a worker does, step by step."""
    track, place = run.load(), (run.target, run.track)
    yield
    if track["wanted"] == "nothing":
        run.finish()
    elif track["wanted"] == "upload":
        run.store("audio")
        yield
        run.store("sidecar")
        buckets[place] = track["file_path"]
        yield
        assert run.record(version=track["version"]) in ("recorded", "changed", "gone")
    elif run.withdraw() == "withdrawn":
        yield
        run.drop()
        buckets.pop(place, None)
        yield
        assert run.deleted() == "deleted"


def lies(tracks: AudioTracks, buckets: Buckets) -> list[tuple[str, str]]:
    """The copies that rows claim, and that are not there."""
    claimed = tracks.sql(
        "select c.name, t.track_id from audio_tracks as t, media_worker.cdn_targets as c"
        " where t.storage_locations ->> c.name = 'true'"
        " or (t.cdn_url is not null and c.position = 1)"
    )
    return [place for row in claimed if (place := (row["name"], row["track_id"])) not in buckets]


def wanted(tracks: AudioTracks, buckets: Buckets) -> Buckets:
    """What the targets are to hold at rest: of a row that has lost its file, an earlier copy."""
    rows = tracks.sql(
        "select c.name, t.track_id, t.file_path, t.storage_locations ->> c.name as claimed"
        " from audio_tracks as t, media_worker.cdn_targets as c where t.cdn_enabled"
    )
    return {
        (row["name"], row["track_id"]): row["file_path"] or buckets[row["name"], row["track_id"]]
        for row in rows
        if row["file_path"] or row["claimed"] == "true"
    }
