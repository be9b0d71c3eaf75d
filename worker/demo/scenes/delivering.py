"""cdn: audio and sidecar are on every target exactly while the row wants them there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.demo.behaviour import Behaviour
from worker.demo.bodies import Body, Bytes, media
from worker.demo.proof import Check
from worker.demo.scene import Step
from worker.demo.scenes.songs import paced
from worker.demo.stage import CDN, SOURCE_BUCKET, Row, Stage, fingerprint

SECONDS = 1.0  # that a file takes to come
MELODY = media("melody.mp3")
ZIP = Bytes(b"PK\x03\x04" + bytes(4000), "audio/mpeg")
HEADERS = {
    "mp3": "audio/mpeg, public, max-age=3600",
    "json": "application/json, public, max-age=300",
}
STATE = """
    select a.cdn_url, a.storage_locations as places, j.target, j.status, j.error_message as error
    from (select %s::text as id) as wanted
    left join audio_tracks as a on a.track_id = wanted.id
    left join cdn_sync_jobs as j on j.track_id = wanted.id order by j.target
"""


@dataclass(frozen=True)
class Item:
    """A row of audio_tracks. `body` comes from the provider unless it is in the team's storage."""

    id: str
    special: str
    body: Body = field(default_factory=lambda: MELODY)
    stored: bool = False
    sidecar: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """Where its audio is, in the team's storage or at the provider."""
        return f"{self.id.strip('./')}.mp3"


class Delivering:
    """Tracks come onto two targets, change, and leave them again."""

    title = "CDN"
    story = f"The copies of tracks on two targets, {' and '.join(CDN)}."
    columns = ("track", "what is special", *CDN, "outcome")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._key = Item("harbour", "file in your storage", stored=True, sidecar={"bpm": 96})
        self._url = Item("skyline", "file at a URL")
        self._off = Item("interlude", "switched off later")
        self._gone = Item("outtake", "deleted later")
        self._zip = Item("archive", "a ZIP, renamed", body=ZIP)
        self._bad = Item("../../etc/x", "no safe key")
        self._good = [self._key, self._url, self._off, self._gone]
        self._cast = [*self._good, self._zip, self._bad]

    def steps(self) -> Sequence[Step]:
        """Insert, change, switch off, delete."""
        said = "insert into audio_tracks (track_id, file_path, metadata) values (...)"
        return [
            Step(f"{said}   -- {len(self._cast)} times", self._insert, self._settled),
            Step(
                'update audio_tracks set metadata = \'{"title": "Skyline, remastered"}\''
                " where track_id = 'skyline'",
                self._change,
                lambda: self._settled() and "remastered" in self._sidecar(self._url),
            ),
            Step(
                "select sync_to_cdn('interlude', 'delete');"
                " delete from audio_tracks where track_id = 'outtake'",
                self._remove,
                lambda: self._settled() and not self._keys(self._off) + self._keys(self._gone),
            ),
        ]

    def rows(self) -> Sequence[Sequence[str]]:
        """A row for each track, with the state of its work on each target."""
        return [self._row(item) for item in self._cast]

    def checks(self) -> Sequence[Check]:
        """Bytes and headers on both targets, rows, what has gone, and what was refused."""
        present = [self._same_bytes(*on) for on in self._places(self._key, self._url)]
        return [*present, *self._sidecars(), *self._told(), *self._absent(), *self._refused()]

    def _insert(self) -> None:
        for item in self._cast:
            self._stage.sql(
                "insert into audio_tracks (track_id, file_path, metadata) values (%s, %s, %s)",
                item.id, self._source(item), json.dumps({"title": item.id}),
            )  # fmt: skip

    def _source(self, item: Item) -> str:
        if not item.stored:
            return self._stage.provider.serve(f"/{item.path}", _paced(item.body))
        self._stage.put(SOURCE_BUCKET, item.path, b"".join(item.body.blocks()))
        sidecar = json.dumps(item.sidecar).encode()
        self._stage.put(SOURCE_BUCKET, f"{item.id}.json", sidecar)
        return item.path

    def _change(self) -> None:
        self._stage.sql(
            "update audio_tracks set metadata = %s where track_id = %s",
            json.dumps({"title": "Skyline, remastered"}), self._url.id,
        )  # fmt: skip

    def _remove(self) -> None:
        self._stage.sql("select sync_to_cdn(%s, 'delete')", self._off.id)
        self._stage.sql("delete from audio_tracks where track_id = %s", self._gone.id)

    def _settled(self) -> bool:
        query = "select count(*) from cdn_sync_jobs where status in ('completed', 'failed')"
        return bool(self._stage.value(query) == len(self._cast) * len(CDN))

    def _row(self, item: Item) -> tuple[str, ...]:
        state = self._state(item)
        jobs = {each["target"]: each["status"] or "" for each in state}
        outcome = state[0]["error"] or state[0]["cdn_url"] or "-"
        return (item.id, item.special, *(jobs.get(target, "") for target in CDN), outcome)

    def _state(self, item: Item) -> list[Row]:
        return self._stage.sql(STATE, item.id)

    def _places(self, *items: Item) -> list[tuple[Item, str]]:
        return [(item, bucket) for item in items for bucket in CDN.values()]

    def _same_bytes(self, item: Item, bucket: str) -> Check:
        key, original = f"audio/{item.id}.mp3", b"".join(item.body.blocks())
        return Check(
            f"{item.id}: audio in {bucket}",
            f"{fingerprint(original)}; {HEADERS['mp3']}",
            f"{self._stage.stored(bucket, key)}; {self._stage.headers(bucket, key)}",
        )

    def _sidecar(self, item: Item) -> str:
        """What the last target has; the first one is asked in the checks, too."""
        return self._stage.text([*CDN.values()][-1], f"metadata/{item.id}.json")

    def _sidecars(self) -> list[Check]:
        own = {"title": "Skyline, remastered", "track_id": self._url.id}
        contents = ((self._key, self._key.sidecar), (self._url, own))
        return [
            self._same_sidecar(item, content, bucket)
            for item, content in contents
            for bucket in CDN.values()
        ]

    def _same_sidecar(self, item: Item, content: object, bucket: str) -> Check:
        key = f"metadata/{item.id}.json"
        return Check(
            f"{item.id}: sidecar in {bucket}",
            f"{json.dumps(content, sort_keys=True)}; {HEADERS['json']}",
            f"{_sorted(self._stage.text(bucket, key))}; {self._stage.headers(bucket, key)}",
        )

    def _told(self) -> list[Check]:
        first, bucket = next(iter(CDN.items()))
        url = f"{self._stage.s3.endpoint}/{bucket}/audio/{self._key.id}.mp3"
        state = self._state(self._key)[0]
        figures = self._stage.sql("select target, uploaded, failed from cdn_statistics")
        return [
            Check(f"{self._key.id}: cdn_url, that of {first}", url, str(state["cdn_url"])),
            Check(f"{self._key.id}: storage_locations", _claims(self._key, everywhere=True),
                  _places(state["places"])),
            Check("cdn_statistics: uploaded, failed", ", ".join(f"{name} 2 2" for name in CDN),
                  ", ".join(f"{f['target']} {f['uploaded']} {f['failed']}" for f in figures)),
        ]  # fmt: skip

    def _absent(self) -> list[Check]:
        off = self._state(self._off)[0]
        return [
            Check(f"{self._off.id}, {self._gone.id}: objects", "0",
                  str(len(self._keys(self._off) + self._keys(self._gone)))),
            Check(f"{self._off.id}: cdn_url, storage_locations",
                  f"None, {_claims(self._off, everywhere=False)}",
                  f"{off['cdn_url']}, {_places(off['places'])}"),
        ]  # fmt: skip

    def _keys(self, item: Item) -> list[str]:
        return [key for bucket in CDN.values() for key in self._stage.keys(bucket)
                if f"/{item.id}." in key]  # fmt: skip

    def _refused(self) -> list[Check]:
        reasons = ((self._zip, "expected audio, but found a ZIP"), (self._bad, "object key"))
        return [
            Check(f"{item.id}: error", f"failed: {reason}",
                  f"{state['status']}: {state['error']}", within=True)
            for item, reason in reasons
            for state in self._state(item)[:1]
        ]  # fmt: skip


def _paced(body: Body) -> Behaviour:
    return paced(body, SECONDS)


def _claims(item: Item, *, everywhere: bool) -> str:
    places = {**dict.fromkeys(CDN, everywhere), **({"supabase": True} if item.stored else {})}
    return json.dumps(places, sort_keys=True)


def _places(locations: Mapping[str, Any] | None) -> str:
    said = {name: there for name, there in (locations or {}).items() if name != "upload_timestamps"}
    return json.dumps(said, sort_keys=True)


def _sorted(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True) if text else "nothing"
