"""What an uploaded file is, as far as Cloudinary tells it: kind, format, measures."""

from __future__ import annotations

import hashlib
import io
import re
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Literal, get_args

from worker.demo.bodies import media as media_file
from worker.download.content import Role, identify
from worker.errors import Permanent

ResourceType = Literal["image", "video", "raw"]
RESOURCE_TYPES: tuple[str, ...] = get_args(ResourceType)

_JPEG_FRAMES = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..\x08(....)", re.DOTALL)
_MPEG1_LAYER3_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)


@dataclass(frozen=True)
class Media:
    """A file: width and height in pixels, duration in seconds, where they are known."""

    content: bytes = field(repr=False)
    kind: ResourceType
    format: str
    etag: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None


def examine(content: bytes, filename: str = "") -> Media:
    """Look at a file; audio is `video`, and what is neither image nor video is `raw`."""
    kind, extension = _kind(content)
    width, height = _size(content, extension)
    return Media(
        content=content,
        kind=kind,
        format=extension or PurePosixPath(filename).suffix.removeprefix("."),
        etag=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        width=width,
        height=height,
        duration=_duration(content, extension),
    )


@cache
def sample(resource_type: str) -> Media:
    """The file of assets that are added without one."""
    names = {"image": "cover.png", "video": "melody.mp3"}
    if resource_type in names:
        return examine(media_file(names[resource_type]).content)
    return examine(b"a file that is neither image nor video\n", "sample.txt")


def _kind(content: bytes) -> tuple[ResourceType, str]:
    if content.startswith(b"%PDF-"):
        return "image", "pdf"
    roles: tuple[Role, ...] = ("image", "audio", "video")
    for role in roles:
        try:
            found = identify(content[: 1024 * 1024], role=role)
        except Permanent:
            continue
        return ("image" if role == "image" else "video"), found.extension
    return "raw", ""


def _size(content: bytes, extension: str) -> tuple[int, int] | tuple[None, None]:
    if extension == "png":
        return _number(content[16:20]), _number(content[20:24])
    if extension == "gif":
        return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
    frame = _JPEG_FRAMES.search(content) if extension in ("jpg", "jpeg") else None
    if frame:
        return _number(frame[1][2:]), _number(frame[1][:2])
    return None, None


def _duration(content: bytes, extension: str) -> float | None:
    if extension == "wav":
        return next(_wave_seconds(content), None)
    if extension == "mp3":
        return _mp3_seconds(content)
    header = content.find(b"mvhd") if extension in ("mp4", "m4a", "mov") else -1
    if header < 0 or content[header + 4] != 0:
        return None
    scale, length = content[header + 16 : header + 20], content[header + 20 : header + 24]
    return round(_number(length) / (_number(scale) or 1), 6)


def _wave_seconds(content: bytes) -> Iterator[float]:
    try:
        with wave.open(io.BytesIO(content)) as sound:
            yield round(sound.getnframes() / sound.getframerate(), 6)
    except (wave.Error, EOFError):
        return


def _mp3_seconds(content: bytes) -> float | None:
    frame = re.search(rb"\xff[\xfa\xfb](.)", content, re.DOTALL)
    kbps = _MPEG1_LAYER3_KBPS[frame[1][0] >> 4] if frame else 0
    return round(len(content) / (kbps * 125), 6) if kbps else None


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
