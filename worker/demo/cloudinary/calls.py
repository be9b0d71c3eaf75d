"""A record of every call that arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from worker.demo.cloudinary.wire import Params

Api = Literal["upload_api", "admin", "delivery"]


@dataclass
class Call:
    """A call; `status` follows the answer, and stays None where there was none.

    `kind` is what the call does: `upload`, `destroy`, `rename`, `tags`, `context`, `metadata`,
    `explicit` of the Upload API; `ping`, `usage`, `types`, `list`, `list_by_tag`,
    `list_by_context`, `list_by_folder`, `list_by_asset_ids`, `details`, `details_by_asset_id`,
    `update`, `delete`, `delete_by_tag`, `delete_by_asset_ids`, `tag_names`, `search` of the
    Admin API; `deliver`; `unknown`.
    """

    kind: str
    api: Api
    method: str
    path: str
    params: Params
    at: float
    status: int | None = None


class Calls:
    """What was asked, oldest first; counters by kind. It may be read while calls arrive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Call] = []

    def __getitem__(self, kind: str) -> int:
        """How many calls of a kind arrived, or of an API by its name."""
        return len(self.of(kind))

    def __iter__(self) -> Iterator[Call]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def admin(self) -> int:
        """How many calls counted against the account's budget, or were refused by it."""
        return self["admin"]

    def of(self, kind: str) -> list[Call]:
        """The calls of a kind, or of an API by its name."""
        return [call for call in self if kind in (call.kind, call.api)]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def add(self, call: Call) -> None:
        with self._lock:
            self._entries.append(call)
