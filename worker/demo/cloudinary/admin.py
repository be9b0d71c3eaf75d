"""The Admin API: what it answers to each call."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from worker.demo.cloudinary.ask import Ask
from worker.demo.cloudinary.assets import Asset, Key
from worker.demo.cloudinary.edits import edits
from worker.demo.cloudinary.listing import Listing, Page
from worker.demo.cloudinary.media import RESOURCE_TYPES
from worker.demo.cloudinary.search import expression, sorting
from worker.demo.cloudinary.shapes import Document, Shapes
from worker.demo.cloudinary.shelf import Accept
from worker.demo.cloudinary.store import Store
from worker.demo.cloudinary.wire import Params, Refused, split

MOST_IDS = 100
MOST_DELETED = 1000  # in one call by prefix, by tag, or of everything


class Admin:
    """One method for each kind of call; they raise Refused."""

    def __init__(self, store: Store, shapes: Shapes, listing: Listing) -> None:
        self._store = store
        self._shapes = shapes
        self._listing = listing

    def ping(self, _: Ask) -> Document:
        return {"status": "ok"}

    def usage(self, _: Ask) -> Document:
        assets = self._store.all()
        return {
            "plan": "Free",
            "last_updated": datetime.now(UTC).date().isoformat(),
            "objects": {"usage": len(assets)},
            "storage": {"usage": sum(len(asset.content) for asset in assets)},
            "resources": len(assets),
            "derived_resources": 0,
        }

    def types(self, _: Ask) -> Document:
        return {"resource_types": list(RESOURCE_TYPES)}

    def list_all(self, ask: Ask) -> Document:
        """Of one type, or of all where none is named; by name as soon as a prefix is given."""
        if "public_ids" in ask.params:
            return self._by_public_ids(ask)
        prefix = ask.params.text("prefix")

        def accept(asset: Asset) -> bool:
            return ask.type in ("", asset.type) and asset.public_id.startswith(prefix)

        return self._by_name(ask, accept) if prefix else self._by_time(ask, accept)

    def list_by_tag(self, ask: Ask) -> Document:
        return self._by_time(ask, lambda asset: ask.name in asset.tags)

    def list_by_context(self, ask: Ask) -> Document:
        key, value = ask.params.text("key"), ask.params.text("value")
        return self._by_time(
            ask, lambda asset: key in asset.context and value in ("", asset.context[key])
        )

    def list_by_folder(self, ask: Ask) -> Document:
        folder = ask.params.text("asset_folder")
        return self._by_name(ask, lambda asset: asset.asset_folder == folder)

    def list_by_asset_ids(self, ask: Ask) -> Document:
        ids = dict.fromkeys(_limited(ask.params, "asset_ids"))
        return self._shown([a for i in ids if (a := self._store.by_id(i))], ask.params)

    def details(self, ask: Ask) -> Document:
        return self._details(self._store.find(ask.key), ask)

    def details_by_asset_id(self, ask: Ask) -> Document:
        return self._details(self._store.by_id(ask.name), ask)

    def update(self, ask: Ask) -> Document:
        answer = self.details(ask)
        for attribute, value in edits(ask.params):
            self._store.change([ask.key], attribute, value, ask.origin)
            answer = self.details(ask)
        return answer

    def delete(self, ask: Ask) -> Document:
        if "public_ids" in ask.params:
            ids = _limited(ask.params, "public_ids")
            keys = [Key(ask.resource_type, ask.type, public_id) for public_id in ids]
            return _deleted(ids, {a.public_id for a in self._store.delete(keys, ask.origin)})
        prefix = ask.params.text("prefix")
        if not prefix and not ask.params.flag("all"):
            raise Refused(400, "Missing required parameter - public_ids, prefix or all")
        return self._delete_where(
            ask, lambda asset: asset.type == ask.type and asset.public_id.startswith(prefix)
        )

    def delete_by_tag(self, ask: Ask) -> Document:
        return self._delete_where(ask, lambda asset: ask.name in asset.tags)

    def delete_by_asset_ids(self, ask: Ask) -> Document:
        ids = _limited(ask.params, "asset_ids")
        keys = [asset.key for i in ids if (asset := self._store.by_id(i))]
        return _deleted(ids, {a.asset_id for a in self._store.delete(keys, ask.origin)})

    def tag_names(self, ask: Ask) -> Document:
        of_type = (a for a in self._store.all() if a.resource_type == ask.resource_type)
        names = {tag for asset in of_type for tag in asset.tags}
        prefix = ask.params.text("prefix")
        return {"tags": sorted(tag for tag in names if tag.startswith(prefix))}

    def search(self, ask: Ask) -> Document:
        accept = expression(ask.params.text("expression"))
        order, downwards = sorting(ask.params.entries("sort_by"))
        found = sorted(filter(accept, self._store.all()), key=order, reverse=downwards)
        page, cursor = self._listing.slice(found, ask.params)
        asked = ask.params.entries("with_field") + ask.params.entries("fields")
        return {
            "total_count": len(found),
            "time": 1,
            "resources": [self._shapes.searched(asset, asked=asked) for asset in page],
            **cursor,
        }

    def _by_public_ids(self, ask: Ask) -> Document:
        names = dict.fromkeys(_limited(ask.params, "public_ids"))
        keys = [Key(ask.resource_type, ask.type or "upload", name) for name in names]
        return self._shown([a for key in keys if (a := self._store.find(key))], ask.params)

    def _by_time(self, ask: Ask, accept: Accept) -> Document:
        return self._paged(self._listing.by_time(ask.resource_type, accept, ask.params), ask)

    def _by_name(self, ask: Ask, accept: Accept) -> Document:
        return self._paged(self._listing.by_name(ask.resource_type, accept, ask.params), ask)

    def _paged(self, page: Page, ask: Ask) -> Document:
        assets, cursor = page
        return {**self._shown(assets, ask.params), **cursor}

    def _shown(self, assets: list[Asset], params: Params) -> Document:
        asked = {name for name in ("tags", "context", "metadata") if params.flag(name)}
        fields = set(split(params.text("fields")))
        documents = [self._shapes.listed(asset, asked=asked | fields) for asset in assets]
        return {"resources": [_only(document, fields) for document in documents]}

    def _details(self, asset: Asset | None, ask: Ask) -> Document:
        if asset is None:
            raise Refused(404, f"Resource not found - {ask.name}")
        return self._shapes.details(asset)

    def _delete_where(self, ask: Ask, accept: Accept) -> Document:
        of_type = (a for a in self._store.all() if a.resource_type == ask.resource_type)
        found = [asset.key for asset in of_type if accept(asset)]
        gone = self._store.delete(found[:MOST_DELETED], ask.origin)
        ids = [asset.public_id for asset in gone]
        return {**_deleted(ids, set(ids)), "partial": len(found) > MOST_DELETED}


def _limited(params: Params, name: str) -> list[str]:
    ids = params.entries(name)
    if len(ids) > MOST_IDS:
        raise Refused(400, f"Too many {name}: at most {MOST_IDS} are allowed")
    return ids


def _deleted(ids: Collection[str], gone: set[str]) -> Document:
    return {
        "deleted": {i: "deleted" if i in gone else "not_found" for i in ids},
        "deleted_counts": {i: {"original": int(i in gone), "derived": 0} for i in ids},
        "partial": False,
    }


def _only(document: Document, fields: set[str]) -> Document:
    kept = fields | {"public_id", "asset_id"}
    return {name: document[name] for name in document if not fields or name in kept}
