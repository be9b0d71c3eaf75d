"""Watches whether rows ever claim a copy that is not there."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from botocore.exceptions import ClientError
from psycopg.rows import dict_row

from tests.cdn.site import Place, Site

# Most of all those that are about to be withdrawn.
CLAIM = """
    select t.track_id, l.key as target, t.xmin::text as version
    from audio_tracks as t, jsonb_each_text(t.storage_locations) as l
    where l.value = 'true' and l.key = any (%s)
    order by t.cdn_enabled, random() limit 1
"""
IS_UNCHANGED = "select from audio_tracks where track_id = %s and xmin::text = %s"


class ClaimWatch:
    """Reads a row, looks at the target, and reads the row again; `lies` are what it has seen."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.lies: list[str] = []
        self.looks = 0

    def __enter__(self) -> ClaimWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        with psycopg.connect(self._site.url, autocommit=True, row_factory=dict_row) as connection:
            while not self._ended.wait(0.005):
                for claim in connection.execute(CLAIM, (list(self._site.targets),)).fetchall():
                    self._look(connection, claim)

    def _look(self, connection: psycopg.Connection[dict[str, Any]], claim: dict[str, Any]) -> None:
        track, place = claim["track_id"], self._site.targets[claim["target"]]
        for key in (f"audio/{track}.mp3", f"metadata/{track}.json"):
            if (
                not _is_there(place, key)
                and connection.execute(IS_UNCHANGED, (track, claim["version"])).fetchall()
            ):
                self.lies.append(f"{claim['target']} has no {key}")
        self.looks += 1


def _is_there(place: Place, key: str) -> bool:
    try:
        place.head(key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True
