"""How the Cloudinary account can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr


@dataclass(frozen=True)
class CloudinaryAccess:
    """What it takes to reach an account; `api_base` is where its API is."""

    cloud_name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    api_base: str


def cloudinary_needs(
    url: SecretStr | None, cloud_name: str | None, key: SecretStr | None, secret: SecretStr | None
) -> Mapping[str, str | None]:
    """What has to be set, by the name of its variable; single variables win over the URL."""
    named = _parts(url.get_secret_value()) if url else (None, None, None)
    return {
        "CLOUDINARY_CLOUD_NAME": cloud_name or named[0],
        "CLOUDINARY_API_KEY": key.get_secret_value() if key else named[1],
        "CLOUDINARY_API_SECRET": secret.get_secret_value() if secret else named[2],
    }


def _parts(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    # the hostname would be in small letters
    cloud_name = parts.netloc.rpartition("@")[2]
    return cloud_name, unquote(parts.username or ""), unquote(parts.password or "")
