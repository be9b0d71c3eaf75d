"""Which addresses may be connected to: public ones, and private ones that are allowed by name.

The list is our own: `ipaddress.is_global` takes NAT64, 6to4 and multicast addresses, behind which
the machine's own network may hide, for public ones, and its answers differ between Python versions.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from worker.download.policy import DownloadPolicy
from worker.download.target import Target
from worker.download.transport import Broken
from worker.errors import Permanent

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host's own services in one public cloud
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)


def system_resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver; raises OSError (its own time-outs bound it)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def checked_addresses(
    target: Target, *, policy: DownloadPolicy, resolve: Resolve
) -> tuple[Address, ...]:
    """Return the addresses of the target, every one of which may be connected to.

    Raises Permanent if any of them may not, and Broken if the name has none at present.
    """
    if _NUMBER.fullmatch(target.host) or ":" in target.host:
        found = [_literal(target.host, policy)]
    else:
        found = _resolved(target, resolve)
    for address in found:
        if not _permitted(address, policy):
            raise _refusal(target.host)
    return tuple(dict.fromkeys(found))


def _literal(host: str, policy: DownloadPolicy) -> Address:
    try:
        return ip_address(host)
    except ValueError:
        return _odd_literal(host, policy)


def _odd_literal(host: str, policy: DownloadPolicy) -> Address:
    """Read `127.1`, `0x7f.1`, `2130706433`: only somebody who hides an address writes it so."""
    try:
        address = IPv4Address(socket.inet_aton(host))
    except OSError:
        raise Permanent(f"{host} is not a valid host name or address") from None
    if not _listed(address, policy.allow_networks):
        raise _refusal(host)
    return address


def _resolved(target: Target, resolve: Resolve) -> list[Address]:
    try:
        found = resolve(target.host, target.port)
    except OSError as error:
        raise Broken(f"its name cannot be resolved ({error.strerror or error})") from error
    if not found:
        raise Broken("its name has no address")
    if any("%" in address for address in found):
        raise _refusal(target.host)
    return [ip_address(address) for address in found]


def _permitted(address: Address, policy: DownloadPolicy) -> bool:
    inner = _inner(address)
    if _listed(address, policy.allow_networks) or _listed(inner, policy.allow_networks):
        return True
    if isinstance(inner, IPv6Address) and inner not in _GLOBAL_UNICAST:
        return False
    return not _listed(inner, _NOT_PUBLIC)


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to through the kernel or a NAT64 gateway."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _listed(address: Address, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _refusal(host: str) -> Permanent:
    return Permanent(
        f"{host} is not a public address, so nothing is downloaded from it: "
        "allow its network with DOWNLOAD_ALLOW_NETWORKS if that is meant"
    )
