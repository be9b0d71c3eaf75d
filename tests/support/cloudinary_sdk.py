"""The official SDK, driven against an account on this machine, without global configuration."""

from __future__ import annotations

import io
from typing import Any

import cloudinary.api
import cloudinary.search
import cloudinary.uploader

from worker.demo.cloudinary import LocalCloudinary


class Sdk:
    """Every function of `cloudinary.uploader` and `cloudinary.api`, bound to the account."""

    def __init__(self, local: LocalCloudinary, **changes: Any) -> None:
        self.options: dict[str, Any] = {
            "upload_prefix": local.url,
            "cloud_name": local.cloud_name,
            "api_key": local.api_key,
            "api_secret": local.api_secret,
            "timeout": 5,
            **changes,
        }

    def upload(self, content: bytes | str, **options: Any) -> dict[str, Any]:
        """Upload bytes, or what a URL names."""
        file: Any = content if isinstance(content, str) else io.BytesIO(content)
        return self("upload", file, **options)

    def __call__(self, function: str, *arguments: Any, **options: Any) -> Any:
        """Call a function of the SDK by its name."""
        module = cloudinary.uploader if hasattr(cloudinary.uploader, function) else cloudinary.api
        return getattr(module, function)(*arguments, **{**self.options, **options})

    def search(self) -> Any:
        """A search; run it with `execute(**sdk.options)`."""
        return cloudinary.search.Search()

    def everything(self, **options: Any) -> list[dict[str, Any]]:
        """All pages of a listing, one behind the other."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self("resources", **options, next_cursor=cursor)
            found += page["resources"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found
