"""What becomes of stored notifications: what they are about is looked at, as it is now.

So their order, and how late they come, decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from worker.cloudinary.documents import RESOURCE_TYPES
from worker.errors import ClaimLost, Permanent, Temporary, WorkError
from worker.queue.model import Again, Claimed, Done, Outcome
from worker.sync.model import Document, Event, Kind, Reading
from worker.sync.notices import Notice, Subject, read
from worker.sync.store import SyncStore

Outcomes = dict[UUID, Outcome | WorkError]
# A push that is running is about to record what the notification tells.
WAIT_FOR_PUSH = 1.0  # seconds
LONGEST_WORD = 100  # characters of what a stranger calls a notification


@dataclass
class _Sorted:
    """Notifications by what is to be done about them."""

    outcomes: dict[UUID, tuple[str, str | None]] = field(default_factory=dict)
    waiting: list[Notice] = field(default_factory=list)
    wanted: list[Notice] = field(default_factory=list)


class ApplyNotifications:
    """Applies claimed notifications together: a look per kind of asset."""

    def __init__(self, store: SyncStore, account: Reading) -> None:
        self._store = store
        self._account = account

    async def __call__(self, works: Sequence[Claimed]) -> Mapping[UUID, Outcome | WorkError]:
        """What came of each."""
        outcomes: Outcomes = {work.id: ClaimLost("taken over") for work in works}
        events = await self._store.events(works)
        notices = {event.id: read(event) for event in events}
        names = [s.as_name() for notice in notices.values() if notice for s in notice.subjects]
        known = await self._store.known(names)
        sorted_ = _sort(events, notices, known)
        outcomes |= {
            n.id: Again("a push is running", WAIT_FOR_PUSH, False) for n in sorted_.waiting
        }
        errors = await self._apply_all(sorted_.wanted, known)
        outcomes |= errors
        sorted_.outcomes |= {
            notice.id: ("applied", None) for notice in sorted_.wanted if notice.id not in errors
        }
        ended = sorted_.outcomes
        await self._store.events_ended(
            works[0].token,
            list(ended),
            [o for o, _ in ended.values()],
            [m for _, m in ended.values()],
        )
        return outcomes | {id_: Done(message) for id_, (_, message) in ended.items()}

    async def _apply_all(
        self, notices: Sequence[Notice], known: Sequence[Document]
    ) -> Mapping[UUID, WorkError]:
        try:
            await self._apply(notices, known)
        except (Permanent, Temporary) as error:
            if len(notices) == 1:
                return {notices[0].id: error}
        except WorkError as error:
            return {notice.id: error for notice in notices}
        else:
            return {}
        # one of them is to blame, which harms none of the others
        errors: dict[UUID, WorkError] = {}
        for notice in notices:
            errors |= await self._apply_all([notice], known)
        return errors

    async def _apply(self, notices: Sequence[Notice], known: Sequence[Document]) -> None:
        latest = _latest(notices)
        for kind, names in _kinds(notices, known).items():
            looked_at = await self._store.now()
            found = await self._account.look(*kind, sorted(names))
            told = [{**asset, "clock": _clock(asset, latest)} for asset in found]
            await self._store.mirror(told, looked_at, source="webhook")
            there = {asset["public_id"] for asset in found}
            gone = [
                UUID(row["id"]) for row in known
                if _kind(row) == kind and row["base"] and row["base"]["public_id"] in names - there
            ]  # fmt: skip
            await self._store.absent(gone, looked_at, source="webhook")


def _sort(
    events: Sequence[Event],
    notices: Mapping[UUID, Notice | None],
    known: Sequence[Document],
) -> _Sorted:
    found = _Sorted()
    for event in events:
        notice = notices[event.id]
        if notice is None:
            word = (event.notification_type or "none")[:LONGEST_WORD]
            found.outcomes[event.id] = ("unknown", f"no notification that matters here: {word}")
        elif any(row["busy"] for s in notice.subjects for row in _rows(s, known)):
            found.waiting.append(notice)
        elif all(_is_known(notice, subject, known) for subject in notice.subjects):
            note = None if notice.by_api else "the row says so already"
            found.outcomes[event.id] = ("unchanged", note)
        else:
            found.wanted.append(notice)
    return found


def _is_known(notice: Notice, subject: Subject, known: Sequence[Document]) -> bool:
    rows = list(_rows(subject, known))
    if not rows:
        # what is gone is gone; of what came there would be a row
        return notice.type == "delete" or subject.public_id == subject.said.get("from_public_id")
    return all(notice.is_known(subject, row) for row in rows)


def _rows(subject: Subject, known: Sequence[Document]) -> Iterable[Document]:
    for row in known:
        names = {row["public_id"], (row["base"] or {}).get("public_id")}
        same_kind = subject.resource_type in (None, row["resource_type"]) and subject.type in (
            None, row["type"],
        )  # fmt: skip
        if (subject.public_id in names and same_kind) or (
            subject.asset_id is not None and subject.asset_id == row["asset_id"]
        ):
            yield row


def _kinds(notices: Sequence[Notice], known: Sequence[Document]) -> Mapping[Kind, set[str]]:
    kinds: dict[Kind, set[str]] = {}
    for subject in (subject for notice in notices for subject in notice.subjects):
        named = [subject.resource_type] if subject.resource_type else RESOURCE_TYPES
        for resource_type in named:
            kinds.setdefault(Kind(resource_type, subject.type or "upload"), set()).add(
                subject.public_id
            )
        for row in _rows(subject, known):
            kinds.setdefault(_kind(row), set()).add(subject.public_id)
    return kinds


def _latest(notices: Sequence[Notice]) -> Mapping[str, datetime]:
    latest: dict[str, datetime] = {}
    for notice in notices:
        for subject in notice.subjects:
            before = latest.get(subject.public_id, notice.happened_at)
            latest[subject.public_id] = max(before, notice.happened_at)
    return latest


def _clock(asset: Document, latest: Mapping[str, datetime]) -> Document:
    told = latest.get(asset["public_id"], datetime.min.replace(tzinfo=UTC))
    return {"updated_at": told.isoformat()}


def _kind(row: Mapping[str, Any]) -> Kind:
    return Kind(row["resource_type"], row["type"])
