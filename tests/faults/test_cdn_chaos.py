"""Random writes to a catalogue, beside workers that die: the targets hold what the rows say."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cdn.site import FIRST, SECOND, Site
from tests.faults.catalogue import Catalogue
from tests.faults.claims import ClaimWatch
from tests.support.process import Processes, RunningProcess
from tests.support.wait import wait_until
from worker.demo.behaviour import Behaviour
from worker.demo.bodies import GeneratedMp3

TRACKS = [f"track-{n}" for n in range(40)]
NAMES = [f"track-{n}" for n in range(90, 100)]
SEQUENCES_IN_A_LIFE = 100
SIZES = pytest.mark.parametrize(
    "sequences", [400, pytest.param(15_000, marks=pytest.mark.soak)], ids=["short", "long"]
)


@dataclass
class Library:
    """What the files of tracks contain, by path."""

    audio: Mapping[str, bytes]
    sidecars: Mapping[str, Any]

    def sidecar_of(self, row: Mapping[str, Any]) -> Any:
        if row["sidecar_path"]:
            return self.sidecars[row["sidecar_path"]]
        return {**(row["metadata"] or {}), "track_id": row["track_id"]}


@SIZES
@pytest.mark.timeout(900)
def test_targets_agree_with_the_rows_though_a_worker_dies_again_and_again(
    site: Site, sequences: int
) -> None:
    library, dice = _library(site), random.Random(5)
    site.start()
    with _writing(site, library) as catalogue:
        for _ in range(sequences // SEQUENCES_IN_A_LIFE):
            victim = site.start()
            victim.wait_for_log("worker started", timeout=60)
            catalogue.allow(SEQUENCES_IN_A_LIFE)
            time.sleep(0.3 + dice.random())  # its life
            _kill(site, victim)
        site.start()
        _wait_for(catalogue, sequences)
        _assert_at_rest(site, library)


@SIZES
@pytest.mark.timeout(900)
def test_targets_agree_with_the_rows_without_a_safety_net(
    site: Site, processes: Processes, sequences: int
) -> None:
    library = _library(site)
    for _ in range(2):
        processes.start([sys.executable, "-m", "tests.faults.unreconciled"], env=site.env)
    with _writing(site, library) as catalogue:
        catalogue.allow(sequences)
        _wait_for(catalogue, sequences)
        _assert_at_rest(site, library)
    assert site.sql("select * from cdn_sync_jobs where attempts > 1 or crashes > 0") == []


def _library(site: Site) -> Library:
    """Eight files in the source bucket, eight on the web, two of them slow, and two sidecars."""
    audio, sidecars = {}, {}
    for number in range(16):
        body = GeneratedMp3(number, 10_000 + number)
        if number < 8:
            path = f"songs/{number}.mp3"
            site.source.put(path, b"".join(body.blocks()))
        else:
            speed = 20_000 if number < 10 else None
            path = site.provider.serve(f"/{number}.mp3", Behaviour(body, bytes_per_second=speed))
        audio[path] = b"".join(body.blocks())
    for name in ("x", "y"):
        sidecars[f"{name}.json"] = {"name": name}
        site.source.put(f"{name}.json", json.dumps({"name": name}).encode())
    return Library(audio, sidecars)


@contextlib.contextmanager
def _writing(site: Site, library: Library) -> Iterator[Catalogue]:
    """An application that writes, and somebody who watches what rows claim until the end."""
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    catalogue = Catalogue(
        site.url, tracks=TRACKS, names=NAMES, files=list(library.audio),
        sidecars=list(library.sidecars), seed=seed,
    )  # fmt: skip
    catalogue.start()
    try:
        with ClaimWatch(site) as watch:
            yield catalogue
    finally:
        catalogue.stop()
    print(f"{catalogue.commits} commits, {watch.looks} looks at what rows claim")
    assert catalogue.trouble == []
    assert watch.lies == [] and watch.looks > 20


def _wait_for(catalogue: Catalogue, sequences: int) -> None:
    wait_until(lambda: catalogue.transactions == sequences, timeout=600, message="the application")


def _kill(site: Site, worker: RunningProcess) -> None:
    """kill -9. Its lease is over as soon as its last requests are, instead of in 30 seconds."""
    worker.kill()
    for place in (site.source, *site.targets.values()):
        place.front.wait_for_requests()
    site.sql("delete from media_worker.workers where pid = %s", worker.pid)
    site.sql(
        "update procrastinate.procrastinate_workers set last_heartbeat = now() - interval '1 hour'"
    )


def _assert_at_rest(site: Site, library: Library) -> None:
    wait_until(lambda: _is_at_rest(site), timeout=120, message="rest")
    rows = site.sql("select * from audio_tracks")
    print(f"{len(rows)} tracks at the end")
    for name, place in site.targets.items():
        keys = place.keys()
        held = {key: place.read(key) for key in keys}
        assert held.keys() == {
            key for row in rows if _is_copied(row, name) for key in _keys(row["track_id"])
        }
        assert place.s3.open_uploads(place.bucket) == []
        for row in rows:
            _assert_copy(row, name, held, library)
    for row in rows:
        _assert_truthful(row)
    _assert_ledger(site)


def _is_at_rest(site: Site) -> bool:
    # what has met several crashes waits for minutes: not here
    site.sql(
        "update cdn_sync_jobs set next_attempt_at = null, updated_at = clock_timestamp()"
        " where crashes > 1 and status = 'pending' and claim is null"
        " and next_attempt_at is not null"
    )
    return not site.sql(
        "select track_id from cdn_sync_jobs where status <> 'completed' or claim is not null"
        " union all select track_id from media_worker.cdn_postponed"
    )


def _is_copied(row: Mapping[str, Any], target: str) -> bool:
    """Whether there is to be a copy; of a track that has lost its file an earlier one stays."""
    claimed = (row["storage_locations"] or {}).get(target) is True
    return bool(row["cdn_enabled"] and (row["file_path"] or claimed))


def _keys(track: str) -> tuple[str, str]:
    return f"audio/{track}.mp3", f"metadata/{track}.json"


def _assert_copy(
    row: Mapping[str, Any], target: str, held: Mapping[str, bytes], library: Library
) -> None:
    copied = _is_copied(row, target)
    assert ((row["storage_locations"] or {}).get(target) is True) is copied, row
    if copied and row["file_path"]:
        audio, sidecar = (held[key] for key in _keys(row["track_id"]))
        assert _digest(audio) == _digest(library.audio[row["file_path"]]), row
        assert json.loads(sidecar) == library.sidecar_of(row), row


def _assert_truthful(row: Mapping[str, Any]) -> None:
    """The other columns agree with what the row says of each target."""
    locations = dict(row["storage_locations"] or {})
    stamps = locations.pop("upload_timestamps", {})
    assert stamps.keys() == {name for name, is_there in locations.items() if is_there}, row
    url = f"https://cdn.example.com/audio/{row['track_id']}.mp3"
    assert row["cdn_url"] == (url if locations.get(FIRST) else None), row
    assert (row["cdn_uploaded_at"] is None) is (not locations.get(FIRST)), row
    if row["cdn_enabled"] and row["file_path"]:
        assert bool(locations.get("supabase")) is ("://" not in row["file_path"]), row
        assert locations.keys() - {"supabase"} == {FIRST, SECOND}, row


def _assert_ledger(site: Site) -> None:
    """It knows just what is there; but of what a killed worker may yet bring, it keeps the key."""
    known = site.sql(
        "select service, object_key, state, claim, recheck_at from media_worker.objects"
    )
    assert [row for row in known if row["claim"]] == []
    assert [row for row in known if row["state"] != "live" and not row["recheck_at"]] == []
    live = {(row["service"], row["object_key"]) for row in known if row["state"] == "live"}
    for name, place in site.targets.items():
        assert {key for service, key in live if service == f"cdn:{name}"} == set(place.keys())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
