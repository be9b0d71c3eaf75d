"""Assets as Cloudinary describes them, in the names and types of `media_assets`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

RESOURCE_TYPES = ("image", "video", "raw")  # audio is video
TYPES = ("upload", "private", "authenticated")
TYPE = re.compile(r"[a-z_]{1,30}")  # any type, the rarer ones too
SAME = (
    "asset_id", "public_id", "resource_type", "type", "format", "version", "bytes", "width",
    "height", "duration", "url", "secure_url", "etag", "created_at",
)  # fmt: skip
# What Cloudinary calls the groups of values whose last change it tells.
CLOCKS = {"tags": "tags_updated_at", "context": "context_updated_at", "updated_at": "updated_at"}


def document(asset: Mapping[str, Any]) -> Document:
    """What a listing, a look or an upload has said of an asset.

    Tags and context that were not asked for read as none.
    """
    context = asset.get("context") or {}
    found = {
        **{name: asset[name] for name in SAME if name in asset},
        "type": asset.get("type") or "upload",
        "folder": _folder(asset),
        "display_name": asset.get("display_name") or None,
        "tags": list(asset.get("tags") or ()),
        "context": dict(context.get("custom", context)),
        "clock": _clock(asset.get("last_updated")),
    }
    cleaned: Document = storable(found)
    return cleaned


def storable(said: Any) -> Any:
    """The same, without letters that PostgreSQL cannot store: whoever uploads may send some."""
    if isinstance(said, str):
        return said.replace("\0", "").encode(errors="replace").decode()
    if isinstance(said, Mapping):
        return {storable(name): storable(value) for name, value in said.items()}
    if isinstance(said, list):
        return [storable(value) for value in said]
    return said


def _folder(asset: Mapping[str, Any]) -> str:
    for name in ("asset_folder", "folder"):
        if asset.get(name) is not None:
            return str(asset[name])
    return str(asset["public_id"]).rpartition("/")[0]


def _clock(last_updated: object) -> dict[str, str]:
    # older accounts give one time, newer ones a map
    if isinstance(last_updated, str):
        return {"updated_at": last_updated}
    if not isinstance(last_updated, Mapping):
        return {}
    return {name: last_updated[key] for name, key in CLOCKS.items() if key in last_updated}
