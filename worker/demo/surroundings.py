"""What the environment may say to embedded parts, and what it may not."""

from __future__ import annotations

import os

from dotenv import dotenv_values

from worker.settings.loading import FIELDS
from worker.settings.sources import DOTENV, read_names

# A program's own surroundings; nothing in them is a setting of ours.
BARE = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE",
)  # fmt: skip
# What names a place outside or opens it.
OUTSIDE = (
    "DATABASE_URL", "STORAGE_", "R2_", "CDN_", "CLOUDFLARE_", "CLOUDINARY_",
    "NEXT_PUBLIC_CLOUDINARY_", "CREDENTIALS_DIRECTORY",
)  # fmt: skip


def bare_environment(**settings: str) -> dict[str, str]:
    """An environment for a command with these settings and no others."""
    kept = {name: os.environ[name] for name in BARE if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}


def tuning() -> dict[str, str]:
    """The settings of the environment and of `.env` that name no place outside."""
    said = {**dotenv_values(DOTENV, encoding="utf-8"), **os.environ}
    known = {name.upper(): text for name, text in said.items() if text and name.upper() in FIELDS}
    return {name: text for name, text in known.items() if not name.startswith(OUTSIDE)}


def outside_settings() -> list[str]:
    """The names of settings that are there and name a place outside, or open it."""
    said = [name for name in read_names() if name.removesuffix("_FILE") in FIELDS]
    return [name for name in said if name.startswith(OUTSIDE)]


def forget_the_cloud() -> None:
    """Keep the user's cloud profiles and proxies from what runs in this process."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
