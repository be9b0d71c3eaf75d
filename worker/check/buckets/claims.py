"""What rows say is stored, but the ledger knows nothing of: written before it, or by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from worker.check.buckets.places import PRIMARY, Form, Place
from worker.queue.store import Row
from worker.storage import BadArgument


@dataclass(frozen=True)
class Claim:
    """A file that a row says is at a key; `url` is where it says so."""

    place: Place
    key: str
    owner_id: str
    role: str
    url: str


class Claims(Protocol):
    """Where claims are read, and noted for the comparison."""

    async def unrecorded_tracks(self, after: UUID | None) -> list[Row]: ...
    async def claim(self, owner_table: str, claims: Sequence[Claim]) -> None: ...
    async def claim_copies(self, place: Place, form: Form, after: str | None) -> str | None: ...


async def note_claims(claims: Claims, places: Sequence[Place]) -> None:
    """Note what rows claim in these places, to be compared like what the ledger knows."""
    buckets = [place for place in places if place.service == PRIMARY]
    if buckets:
        await _note_tracks(claims, buckets)
    for place in places:
        for form in place.forms:
            # what makes a copy is the audio: a classic one may have no sidecar
            if form.role == "audio":
                await _note_copies(claims, place, form)


async def _note_tracks(claims: Claims, places: Sequence[Place]) -> None:
    after: UUID | None = None
    while rows := await claims.unrecorded_tracks(after):
        found = [claim for row in rows if row["url"] for claim in _in(places, row)]
        if found:
            await claims.claim("tracks", found)
        after = rows[0]["last_id"]


async def _note_copies(claims: Claims, place: Place, form: Form) -> None:
    after = await claims.claim_copies(place, form, None)
    while after is not None:
        after = await claims.claim_copies(place, form, after)


def _in(places: Sequence[Place], row: Row) -> Iterator[Claim]:
    """The claim, if the URL leads into one of the places."""
    for place in places:
        try:
            key = place.store.key_from_url(row["url"])
        except BadArgument:
            continue
        if key.startswith(place.prefix):
            yield Claim(place, key, str(row["track_id"]), row["role"], row["url"])
            return
