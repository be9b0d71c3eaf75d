"""Whether what is known of a key and what is there agree."""

from __future__ import annotations

from datetime import datetime

from worker.check.buckets.model import Expected, Pair, Suspicion
from worker.check.model import Kind
from worker.storage import ObjectInfo

ARCHIVED_AGAIN = {
    "missing": "the row says so no more, and the track is archived again",
    "truncated": "it is archived again",
    "other": "it is archived again",
    "orphan": "it is deleted",
}
SENT_AGAIN = {
    "missing": "the row says so no more, and it is sent again",
    "truncated": "it is sent again",
    "other": "it is sent again",
    "orphan": "it is deleted",
    "unrecorded": "left as it is; select backfill_cdn() makes it ours",
}
LEFT = "left as it is"
NOT_OURS = "Media Worker has not written it"


def judge(pair: Pair, *, cut_off: datetime) -> Suspicion | None:
    """What is wrong with a pair, as far as both sides tell.

    None where they agree, where something is under way, and for an object that is younger than
    the cut-off: it may belong to work that was not seen.
    """
    if any(row.standing == "under way" for row in pair.rows):
        return None
    if pair.found is None:
        return _absent(pair)
    if pair.found.last_modified > cut_off:
        return None
    if not pair.rows:
        return Suspicion("foreign", pair.key, NOT_OURS)
    row = pair.rows[0]
    if row.object_id is None:
        return Suspicion("unrecorded", pair.key, f"{NOT_OURS}, but {row.owner} names it", pair.rows)
    if row.standing == "unwanted":
        return Suspicion("orphan", pair.key, f"no row wants it: {row.owner}", pair.rows)
    return _different(row, pair.found)


def repair_of(kind: Kind, service: str) -> str:
    """What mends it, or that nothing is done about it."""
    texts = SENT_AGAIN if service.startswith("cdn:") else ARCHIVED_AGAIN
    return texts.get(kind, LEFT)


def is_named(key: str, track_id: str) -> Suspicion:
    """An object that only has the key of a track's copy."""
    return Suspicion("unrecorded", key, f"{NOT_OURS}, but it has the key of track {track_id}")


def has_other_bytes(row: Expected) -> Suspicion:
    """What reading the object has shown."""
    what = f"{row.owner}: its bytes are not those that were sent (SHA-256)"
    return Suspicion("other", row.object_key, what, (row,))


def _absent(pair: Pair) -> Suspicion | None:
    missed = tuple(row for row in pair.rows if row.state != "intent")
    if not missed:
        return None  # an upload that came to nothing, and of which nothing is expected
    if all(row.standing == "unwanted" for row in missed):
        return Suspicion("missing", pair.key, f"gone; no row wants it: {missed[0].owner}", missed)
    owners = ", ".join(row.owner for row in missed)
    return Suspicion("missing", pair.key, f"not there: {owners}", missed)


def _different(row: Expected, found: ObjectInfo) -> Suspicion | None:
    if row.bytes is None or row.state == "intent":
        return _other(row, "was never verified")
    if found.size != row.bytes:
        kind: Kind = "truncated" if found.size < row.bytes else "other"
        what = f"{row.owner}: {found.size} bytes instead of {row.bytes}"
        return Suspicion(kind, row.object_key, what, (row,))
    if row.etag and found.etag and found.etag != row.etag:
        return _other(row, "other bytes than were sent (ETag)")
    return None


def _other(row: Expected, what: str) -> Suspicion:
    return Suspicion("other", row.object_key, f"{row.owner}: {what}", (row,))
