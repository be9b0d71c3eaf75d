"""The account's assets in full: page by page, by name, and changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.cloudinary.account import Account, Keep
from worker.cloudinary.assets import MOST_IDS, chunks
from worker.cloudinary.documents import Document, document

IN_FULL = {"tags": True, "context": True}


@dataclass(frozen=True)
class Page:
    """A page of a listing; `cursor` leads to the next one, None on the last."""

    assets: Sequence[Document]
    cursor: str | None


class Library:
    """Reads and changes assets of an account; see `Account` for the errors."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def page(self, resource_type: str, type: str, *, size: int, cursor: str | None) -> Page:
        """Up to `size` (1 to 500) assets. Raises `Refused` for a cursor that has expired."""
        params: dict[str, Any] = {"max_results": size, **IN_FULL}
        if cursor is not None:
            params["next_cursor"] = cursor
        body = await self._account.call(
            "GET", ["resources", resource_type, type], params, keep=Keep.DELETIONS
        )
        return Page([document(asset) for asset in body["resources"]], body.get("next_cursor"))

    async def look(
        self, resource_type: str, type: str, public_ids: Collection[str]
    ) -> list[Document]:
        """Those of these assets that are there."""
        found: list[Document] = []
        for ids in chunks(public_ids, most=MOST_IDS):
            found += await self._look(["resources", resource_type, type], ids)
        return found

    async def update(
        self, resource_type: str, type: str, public_id: str, changes: Mapping[str, Any]
    ) -> Document:
        """Set tags, context or display name to exactly these values.

        No display name becomes the one that an asset has by itself: nothing there has none.
        """
        body = await self._account.call(
            "POST",
            ["resources", resource_type, type, public_id],
            _encoded(changes, public_id),
            keep=Keep.DELETIONS,
        )
        return document(body)

    async def _look(self, path: Sequence[str], ids: Sequence[str]) -> list[Document]:
        params: dict[str, Any] = {"public_ids": ids, "max_results": MOST_IDS, **IN_FULL}
        found: list[Document] = []
        while True:
            body = await self._account.call("GET", path, params, keep=Keep.DELETIONS)
            found += map(document, body["resources"])
            # what is not named here would be taken for absent
            if not body.get("next_cursor"):
                return found
            params["next_cursor"] = body["next_cursor"]


def _encoded(changes: Mapping[str, Any], public_id: str) -> dict[str, str]:
    encoded = {name: str(value or "") for name, value in changes.items()}
    if "display_name" in changes:
        encoded["display_name"] = changes["display_name"] or public_id.rpartition("/")[2]
    if "tags" in changes:
        encoded["tags"] = ",".join(changes["tags"])
    if "context" in changes:
        encoded["context"] = "|".join(
            f"{_escaped(name)}={_escaped(value)}" for name, value in changes["context"].items()
        )
    return encoded


def _escaped(text: object) -> str:
    return str(text).replace("|", "\\|").replace("=", "\\=")
