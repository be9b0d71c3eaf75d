"""From a URL that somebody wrote to a target that a request may be sent to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from worker.download.policy import DownloadPolicy
from worker.errors import Permanent

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BRACKETED = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]*)?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class Target:
    """A host that the policy allows, and what to ask it for.

    `path` includes the query, which may be a signature: it is never shown.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """The host, with the port where it is not the scheme's own: the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, *, policy: DownloadPolicy) -> Target:
    """Return the target that `url` names; raises Permanent where it may not be asked."""
    try:
        target = _parsed(url.strip())
    except ValueError:
        raise Permanent("the source URL is not a valid URL: correct it") from None
    if not _allowed(target.host, policy.allowed_hosts):
        raise Permanent(
            f"{target.host} is not among the allowed hosts: add it to DOWNLOAD_ALLOWED_HOSTS"
        )
    return target


def redirect_target(base: Target, location: str, *, policy: DownloadPolicy) -> Target:
    """Return where a redirect leads; raises Permanent where it may not be followed."""
    try:
        # Headers are read as Latin-1, while servers that do not escape send UTF-8.
        readable = location.encode("latin-1").decode("utf-8", "replace")
        url = urljoin(f"{base.scheme}://{base.authority}{base.path}", readable)
    except ValueError:
        raise Permanent(f"{base.host} redirects to an invalid URL") from None
    target = parse_target(url, policy=policy)
    if base.scheme == "https" and target.scheme != "https":
        raise Permanent(f"{base.host} redirects from https to http, which is not followed")
    return target


def _parsed(url: str) -> Target:
    if _CONTROL.search(url):
        raise Permanent("the source URL contains control characters: correct it")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise Permanent(f"the source URL must begin with https or http, not {parts.scheme[:20]!r}")
    if "@" in parts.netloc:
        raise Permanent("the source URL contains a user name or password: remove it")
    return Target(parts.scheme, _host(parts), _port(parts), _path(parts))


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    if "[" in parts.netloc:
        if not _BRACKETED.fullmatch(parts.netloc):
            raise ValueError("not an IPv6 address")
        return str(IPv6Address(name))
    # IDNA first: it turns full-width digits and dots into plain ones.
    host = name.encode("idna").decode("ascii").lower().rstrip(".")
    if not _NAME.fullmatch(host):
        raise ValueError("not a host name")
    return host


def _port(parts: SplitResult) -> int:
    port = parts.port
    if port is None:
        return _DEFAULT_PORTS[parts.scheme]
    if port < 1024 and port not in _DEFAULT_PORTS.values():
        raise Permanent(f"the source URL has port {port}, which is not one of a web server")
    return port


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=?[]|")
    return f"{path}?{query}" if query else path


def _allowed(host: str, patterns: tuple[str, ...]) -> bool:
    plain = (pattern.strip().lower().rstrip(".") for pattern in patterns)
    return not patterns or any(fnmatchcase(host, pattern) for pattern in plain)
