"""Pages of assets, and the cursors that lead from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from worker.demo.cloudinary import cursors
from worker.demo.cloudinary.assets import Asset
from worker.demo.cloudinary.faults import Faults
from worker.demo.cloudinary.shapes import Document
from worker.demo.cloudinary.shelf import Accept, name_of
from worker.demo.cloudinary.store import Store
from worker.demo.cloudinary.wire import Params, Refused

LARGEST_PAGE = 500
DEFAULT_PAGE = 10

Page = tuple[list[Asset], Document]


class Listing:
    """Keeps nothing between pages: what comes or goes meanwhile shifts nobody else."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def by_time(self, resource_type: str, accept: Accept, params: Params) -> Page:
        """The newest first, or as `direction` says."""
        size = page_size(params)
        start = _start(params)
        found = self._store.page(
            resource_type,
            lambda asset: accept(asset) and (start is None or asset.created_at >= start),
            after=self._place(params, int),
            oldest_first=params.text("direction") in ("asc", "1"),
            size=size + 1,
        )
        return found[:size], self._cursor(found, size, lambda asset: asset.ordinal)

    def by_name(self, resource_type: str, accept: Accept, params: Params) -> Page:
        """In the order of public ids; of every resource type where none is named."""
        size = page_size(params)
        found = self._store.named(
            lambda asset: resource_type in ("", asset.resource_type) and accept(asset),
            after=self._place(params, tuple),
            size=size + 1,
        )
        return found[:size], self._cursor(found, size, name_of)

    def slice(self, found: Sequence[Asset], params: Params) -> Page:
        """A page of assets that are in order already."""
        size = page_size(params, default=50)
        start = self._place(params, int) or 0
        page = list(found[start : start + size + 1])
        return page[:size], self._cursor(page, size, lambda _: start + size)

    def _place(self, params: Params, kind: type) -> Any:
        place = cursors.decode(params.text("next_cursor"), generation=self._faults.cursors)
        if place is not None and not isinstance(place, kind):
            raise Refused(400, "Invalid value for parameter next_cursor")
        return place

    def _cursor(self, found: Sequence[Asset], size: int, place: Any) -> Document:
        if len(found) <= size:
            return {}
        return {"next_cursor": cursors.encode(self._faults.cursors, place(found[size - 1]))}


def page_size(params: Params, *, default: int = DEFAULT_PAGE) -> int:
    """How many are asked for. Raises Refused beyond what a page may hold."""
    size = params.number("max_results", default)
    if not 1 <= size <= LARGEST_PAGE:
        message = f"Invalid value for parameter max_results: must be from 1 to {LARGEST_PAGE}"
        raise Refused(400, message)
    return size


def _start(params: Params) -> datetime | None:
    text = params.text("start_at")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError as error:
        raise Refused(400, "Invalid value for parameter start_at") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
