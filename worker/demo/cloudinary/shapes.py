"""How assets look in the answers of the different parts of the API."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from worker.demo.cloudinary.assets import Asset
from worker.demo.cloudinary.signing import Keys

Document = dict[str, Any]


@dataclass(frozen=True)
class Shapes:
    """`base` is where files are delivered from, with its scheme."""

    base: str
    cloud_name: str
    keys: Keys

    def uploaded(self, asset: Asset) -> Document:
        """What the Upload API answers."""
        signed = {"public_id": asset.public_id, "version": str(asset.version)}
        return {
            "asset_id": asset.asset_id,
            "public_id": asset.public_id,
            "version": asset.version,
            "version_id": asset.version_id,
            "signature": self.keys.sign(signed),
            **_measures(asset),
            "resource_type": asset.resource_type,
            "created_at": moment(asset.created_at),
            "tags": list(asset.tags),
            "bytes": len(asset.content),
            "type": asset.type,
            "etag": asset.media.etag,
            "placeholder": False,
            **self.urls(asset),
            **_names(asset),
            **_context(asset),
            **_metadata(asset),
            "original_filename": asset.original_filename,
            "api_key": self.keys.api_key,
        }

    def listed(self, asset: Asset, *, asked: Collection[str] = ()) -> Document:
        """What a listing says: tags, context and metadata only where they are asked for."""
        return {
            "asset_id": asset.asset_id,
            "public_id": asset.public_id,
            **_format(asset),
            "version": asset.version,
            "resource_type": asset.resource_type,
            "type": asset.type,
            "created_at": moment(asset.created_at),
            "bytes": len(asset.content),
            **_measures(asset),
            **_names(asset),
            **self.urls(asset),
            **({"tags": list(asset.tags)} if "tags" in asked else {}),
            **(_context(asset) if "context" in asked else {}),
            **(_metadata(asset) if "metadata" in asked else {}),
            **_last_updated(asset),
        }

    def details(self, asset: Asset) -> Document:
        """What is said of a single asset."""
        return {
            **self.listed(asset, asked=("context", "metadata")),
            **({"tags": list(asset.tags)} if asset.tags else {}),
            "etag": asset.media.etag,
            "backup": False,
            "access_mode": "public",
            "original_filename": asset.original_filename,
            "next_cursor": None,
            "derived": [],
        }

    def searched(self, asset: Asset, *, asked: Collection[str] = ()) -> Document:
        """What a search says."""
        return {
            **self.listed(asset, asked=asked),
            "filename": asset.public_id.rpartition("/")[2],
            "uploaded_at": moment(asset.created_at),
            "status": "active",
            "access_mode": "public",
            "etag": asset.media.etag,
        }

    def urls(self, asset: Asset) -> Document:
        secure = f"{self.base}{self.path(asset)}"
        return {"url": secure.replace("https://", "http://", 1), "secure_url": secure}

    def path(self, asset: Asset) -> str:
        """Where an asset's file is delivered."""
        source = source_of(asset)
        signature = "" if asset.type == "upload" else f"{self.keys.of_delivery(source)}/"
        place = f"/{self.cloud_name}/{asset.resource_type}/{asset.type}"
        return f"{place}/{signature}v{asset.version}/{quote(source)}"


def source_of(asset: Asset) -> str:
    """The public id with the extension that a URL has."""
    return f"{asset.public_id}.{asset.format}" if asset.format else asset.public_id


def moment(at: datetime) -> str:
    """A time as the API writes most of them."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def offset_moment(at: datetime) -> str:
    """A time as `last_updated` and notifications write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _measures(asset: Asset) -> Document:
    media = asset.media
    known = {"width": media.width, "height": media.height, "duration": media.duration}
    return {**_format(asset), **{name: value for name, value in known.items() if value is not None}}


def _format(asset: Asset) -> Document:
    return {"format": asset.format} if asset.format else {}


def _names(asset: Asset) -> Document:
    return {"asset_folder": asset.asset_folder, "display_name": asset.display_name}


def _context(asset: Asset) -> Document:
    return {"context": {"custom": dict(asset.context)}} if asset.context else {}


def _metadata(asset: Asset) -> Document:
    return {"metadata": dict(asset.metadata)} if asset.metadata else {}


def _last_updated(asset: Asset) -> Document:
    times = {name: offset_moment(at) for name, at in asset.last_updated.items()}
    return {"last_updated": times} if times else {}
