"""The files behind the URLs of assets."""

from __future__ import annotations

import re

from worker.demo.bodies import CONTENT_TYPES
from worker.demo.cloudinary.ask import Ask
from worker.demo.cloudinary.assets import Asset, Key
from worker.demo.cloudinary.shapes import source_of
from worker.demo.cloudinary.signing import Keys
from worker.demo.cloudinary.store import Store
from worker.demo.cloudinary.wire import Refused, Reply

_NAME = re.compile(r"(?:(?P<signature>s--[\w-]{8}--)/)?(?:v\d+/)?(?P<source>.+)")


class Delivery:
    """Every version's URL gives the newest file; what is not public needs a signed one."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    def deliver(self, ask: Ask) -> Reply:
        """Raises Refused."""
        matched = _NAME.fullmatch(ask.name)
        asset = self._find(ask, matched["source"]) if matched else None
        if matched is None or asset is None:
            raise Refused(404, f"Resource not found - {ask.name}")
        signature = self._keys.of_delivery(source_of(asset))
        if asset.type != "upload" and matched["signature"] != signature:
            raise Refused(401, "deny or ACL failure")
        return Reply(200, asset.content, _headers(asset))

    def _find(self, ask: Ask, source: str) -> Asset | None:
        bare = source.rpartition(".")[0] or source
        for public_id in (source, bare):
            asset = self._store.find(Key(ask.resource_type, ask.type, public_id))
            if asset and source in (public_id, source_of(asset)):
                return asset
        return None


def _headers(asset: Asset) -> dict[str, str]:
    kind = CONTENT_TYPES.get(asset.format, "application/octet-stream")
    return {"Content-Type": kind, "ETag": f'"{asset.media.etag}"', "Accept-Ranges": "none"}
