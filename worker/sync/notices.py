"""What a notification says: which assets it is about, and whether that is known already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from worker.cloudinary.documents import RESOURCE_TYPES, TYPE, storable
from worker.sync.model import Document, Event

TYPES = frozenset({
    "upload", "delete", "rename", "move", "resource_tags_changed", "resource_context_changed",
    "resource_metadata_changed", "resource_display_name_changed",
})  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """An asset that a notification is about; what it does not say is None.

    `said` is that part of the notification.
    """

    public_id: str
    resource_type: str | None
    type: str | None
    asset_id: str | None
    said: Mapping[str, Any]

    def as_name(self) -> Document:
        """As the database is asked for it."""
        return {
            "public_id": self.public_id,
            "resource_type": self.resource_type,
            "type": self.type,
            "asset_id": self.asset_id,
        }


@dataclass(frozen=True)
class Notice:
    """A notification, read. `by_api`: a program caused it, maybe this one."""

    id: UUID
    type: str
    happened_at: datetime
    by_api: bool
    subjects: tuple[Subject, ...]

    def is_known(self, subject: Subject, row: Mapping[str, Any]) -> bool:
        """Whether what it says of an asset is what its row and the asset had in common last."""
        base = row["base"]
        if base is None:
            return False
        said, is_so = subject.said, _SO.get(self.type)
        return is_so is not None and is_so(said, base, row)


def read(event: Event) -> Notice | None:
    """The notification; None where it is none, or about nothing that matters here."""
    try:
        body = storable(json.loads(event.body))
    except ValueError:
        return None
    kind = _text(_object(body).get("notification_type"))
    if kind is None or kind not in TYPES:
        return None
    triggered = _object(_object(body.get("notification_context")).get("triggered_by"))
    return Notice(
        id=event.id,
        type=kind,
        happened_at=_moment(body) or event.sent_at,
        by_api=triggered.get("source") == "api",
        subjects=tuple(_subjects(kind, body)),
    )


def _subjects(kind: str, body: Mapping[str, Any]) -> Iterator[Subject]:
    if kind == "rename":
        for name in ("to_public_id", "from_public_id"):
            yield from _subject({**body, "public_id": body.get(name)})
    elif kind == "upload":
        yield from _subject(body)
    else:
        for each in _resources(body):
            yield from _subject(each)


def _resources(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    given = body.get("resources", body.get("public_id") and [body])
    if isinstance(given, Mapping):
        given = [{"public_id": name, **_object(about)} for name, about in given.items()]
    for each in _list(given):
        yield {**_inherited(body), **_object(each)}


def _inherited(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: body[name] for name in ("resource_type", "type") if name in body}


def _subject(said: Mapping[str, Any]) -> Iterator[Subject]:
    name, kind, type_ = (_text(said.get(key)) for key in ("public_id", "resource_type", "type"))
    if name is not None:
        kind = kind if kind in RESOURCE_TYPES else None
        type_ = type_ if type_ and TYPE.fullmatch(type_) else None
        yield Subject(name, kind, type_, _text(said.get("asset_id")), said)


def _moment(body: Mapping[str, Any]) -> datetime | None:
    context = _object(body.get("notification_context"))
    for given in (context.get("triggered_at"), body.get("timestamp")):
        try:
            moment = datetime.fromisoformat(str(given).replace("Z", "+00:00"))
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _text(given: object) -> str | None:
    return given if isinstance(given, str) and given else None


def _object(given: object) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else []


def _names(given: object) -> set[str]:
    return {str(_object(each).get("name", each)) for each in _list(given)}


def _uploaded(said: Mapping[str, Any], _base: Document, row: Mapping[str, Any]) -> bool:
    return bool(said.get("asset_id") == row["asset_id"] and said.get("version") == row["version"])


def _renamed(said: Mapping[str, Any], base: Document, _row: Mapping[str, Any]) -> bool:
    return bool(said.get("to_public_id") == base["public_id"])


def _tagged(said: Mapping[str, Any], base: Document, _row: Mapping[str, Any]) -> bool:
    tags = set(base["tags"])
    return _names(said.get("added")) <= tags and not _names(said.get("removed")) & tags


def _described(said: Mapping[str, Any], base: Document, _row: Mapping[str, Any]) -> bool:
    context = base["context"]
    pairs = [
        (str(_object(each).get("name")), _object(each).get("value"))
        for name in ("added", "updated")
        for each in _list(said.get(name))
    ]
    same = all(context.get(name) == value for name, value in pairs)
    return same and not _names(said.get("removed")) & set(context)


def _named(said: Mapping[str, Any], base: Document, _row: Mapping[str, Any]) -> bool:
    return bool(said.get("new_display_name") == base["display_name"])


_SO = {
    "upload": _uploaded,
    "rename": _renamed,
    "resource_tags_changed": _tagged,
    "resource_context_changed": _described,
    "resource_display_name_changed": _named,
}
