"""What a download may reach, and how much of what it may take."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True)
class DownloadPolicy:
    """The limits of every download; all times are in seconds, all sizes in bytes.

    `allowed_hosts` are patterns (`*.example.com` matches every host below example.com, not
    example.com itself); empty means any public host. `allow_networks` are private networks that
    may be reached all the same. `total_timeout` covers the whole body with all its resumes.
    `min_speed` is in bytes a second, measured over `speed_window` seconds of waiting for the
    provider; `read_timeout` is the longest wait for a single byte.
    """

    allowed_hosts: tuple[str, ...] = ()
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    max_bytes: int = 500 * 1024 * 1024
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    total_timeout: float = 1800.0
    min_speed: int = 10_000
    max_redirects: int = 5
    max_resumes: int = 5
    speed_window: float = 30.0
