"""What Cloudinary tells a team's own server when something changed."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from worker.demo.cloudinary.assets import Asset
from worker.demo.cloudinary.journal import Change, Kind
from worker.demo.cloudinary.shapes import Document, Shapes, offset_moment
from worker.demo.cloudinary.signing import Keys


@dataclass(frozen=True)
class Notification:
    """A notification as it goes over the wire; header names as Cloudinary writes them."""

    kind: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def payload(self) -> Document:
        """The body, read."""
        document: Document = json.loads(self.body)
        return document

    @property
    def digest(self) -> str:
        """A hash of body and timestamp: the same for a replay only."""
        stamp = self.headers["X-Cld-Timestamp"].encode()
        return hashlib.sha256(self.body + b"\n" + stamp).hexdigest()

    def tampered(self) -> Self:
        """The same with one bit of the body flipped and the signature left as it was."""
        middle = len(self.body) // 2
        flipped = bytes([self.body[middle] ^ 1])
        return replace(self, body=self.body[:middle] + flipped + self.body[middle + 1 :])


@dataclass(frozen=True)
class Writer:
    """Writes and signs notifications; `clock` is in seconds since 1970."""

    keys: Keys
    shapes: Shapes
    clock: Callable[[], float]

    def about(self, change: Change) -> Notification:
        """The notification that a change leads to."""
        return self.sign({**_head(change), **self._payload(change), **self._tail(change)})

    def sign(
        self,
        payload: Mapping[str, Any] | bytes,
        *,
        at: float | None = None,
        secret: str | None = None,
    ) -> Notification:
        """Sign any payload, at any time (now by default), with any secret (the account's)."""
        raw = isinstance(payload, bytes)
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        stamp = str(int(self.clock() if at is None else at))
        keys = self.keys if secret is None else replace(self.keys, api_secret=secret)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Cloudinary",
            "X-Cld-Timestamp": stamp,
            "X-Cld-Signature": keys.digest(body + stamp.encode()),
        }
        kind = "" if raw else str(json.loads(body).get("notification_type", ""))
        return Notification(kind, body, headers)

    def _payload(self, change: Change) -> Document:
        after = [new for _, new in change.pairs if new]
        if change.kind in ("upload", "overwrite"):
            overwritten = {"overwritten": True} if change.kind == "overwrite" else {}
            return {**self.shapes.uploaded(after[0]), **overwritten}
        if change.kind == "delete":
            return {"resources": [_deleted(old) for old, _ in change.pairs if old]}
        pairs = [(old, new) for old, new in change.pairs if old and new]
        if change.kind == "rename":
            return _renamed(*pairs[0])
        if change.kind == "tags":
            return {"resources": [_tags(old, new) for old, new in pairs]}
        about = _ABOUT[change.kind]
        return {
            "resources": {new.public_id: {**_type(new), **about(old, new)} for old, new in pairs}
        }

    def _tail(self, change: Change) -> Document:
        triggered = {"source": change.origin.source, "id": self.keys.api_key}
        context = {"triggered_at": _iso(change.at), "triggered_by": triggered}
        return {"notification_context": context, "signature_key": self.keys.api_key}


_NAMES: Mapping[Kind, str] = {
    "upload": "upload",
    "overwrite": "upload",
    "delete": "delete",
    "rename": "rename",
    "tags": "resource_tags_changed",
    "context": "resource_context_changed",
    "metadata": "resource_metadata_changed",
    "display_name": "resource_display_name_changed",
    "asset_folder": "move",
}


def _head(change: Change) -> Document:
    head = {"notification_type": _NAMES[change.kind]}
    if change.kind in ("upload", "overwrite", "rename"):
        return {**head, "timestamp": _iso(change.at), "request_id": secrets.token_hex(16)}
    return {**head, "source": change.origin.source}


def _renamed(old: Asset, new: Asset) -> Document:
    return {
        "asset_id": new.asset_id,
        "resource_type": new.resource_type,
        "type": new.type,
        "from_public_id": old.public_id,
        "to_public_id": new.public_id,
        "display_name": new.display_name,
        "asset_folder": new.asset_folder,
    }


def _deleted(old: Asset) -> Document:
    return {**_type(old), "public_id": old.public_id, "version": old.version}


def _tags(old: Asset, new: Asset) -> Document:
    return {
        **_type(new),
        "public_id": new.public_id,
        "added": [tag for tag in new.tags if tag not in old.tags],
        "removed": [tag for tag in old.tags if tag not in new.tags],
        "updated": [],
    }


def _context(old: Asset, new: Asset) -> Document:
    return _difference(old.context, new.context)


def _metadata(old: Asset, new: Asset) -> Document:
    return _difference(old.metadata, new.metadata)


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Document:
    return {
        "added": [_pair(name, new[name]) for name in new if name not in old],
        "removed": [_pair(name, old[name]) for name in old if name not in new],
        "updated": [
            {**_pair(name, new[name]), "previous_value": old[name]}
            for name in new
            if name in old and new[name] != old[name]
        ],
    }


def _pair(name: str, value: Any) -> Document:
    return {"name": name, "value": value}


def _display_name(old: Asset, new: Asset) -> Document:
    return {
        "public_id": new.public_id,
        "previous_display_name": old.display_name,
        "new_display_name": new.display_name,
    }


def _moved(old: Asset, new: Asset) -> Document:
    return {
        "from_asset_folder": old.asset_folder,
        "to_asset_folder": new.asset_folder,
        "display_name": new.display_name,
    }


_ABOUT: Mapping[Kind, Callable[[Asset, Asset], Document]] = {
    "context": _context,
    "metadata": _metadata,
    "display_name": _display_name,
    "asset_folder": _moved,
}


def _type(asset: Asset) -> Document:
    return {
        "resource_type": asset.resource_type,
        "type": asset.type,
        "asset_id": asset.asset_id,
    }


def _iso(at: float) -> str:
    return offset_moment(datetime.fromtimestamp(at, UTC))
