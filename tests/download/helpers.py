"""What the tests of downloads share."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from worker.download import Body, Downloader, DownloadPolicy

SAMPLES = Path(__file__).parent / "samples"
LOOPBACK = (ip_network("127.0.0.0/8"),)


def policy(**limits: Any) -> DownloadPolicy:
    defaults = {"allow_networks": LOOPBACK, "read_timeout": 5.0, "min_speed": 0}
    return DownloadPolicy(**(defaults | limits))


def downloader(**limits: Any) -> Downloader:
    return Downloader(policy(**limits))


def read_all(body: Body, *, block: int = 64 * 1024) -> bytes:
    with body:
        return read_on(body, block=block)


def read_on(body: Body, *, block: int = 64 * 1024) -> bytes:
    buffer = memoryview(bytearray(block))
    data = bytearray()
    while count := body.readinto(buffer):
        data += buffer[:count]
    return bytes(data)
