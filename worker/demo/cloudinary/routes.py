"""Which call a request is, by its method and path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from worker.demo.cloudinary.calls import Api

_TYPE = r"(?P<resource_type>image|video|raw)"
_ADMIN: tuple[tuple[str, str, str], ...] = (
    ("GET", r"ping", "ping"),
    ("GET", r"usage(/[\d-]+)?", "usage"),
    ("GET", r"resources", "types"),
    ("GET", rf"tags/{_TYPE}", "tag_names"),
    ("POST", r"resources/search", "search"),
    ("GET", r"resources/by_asset_ids", "list_by_asset_ids"),
    ("GET", r"resources/by_asset_folder", "list_by_folder"),
    ("GET", rf"resources/{_TYPE}/tags/(?P<name>.+)", "list_by_tag"),
    ("GET", rf"resources/{_TYPE}/context", "list_by_context"),
    ("GET", rf"resources/{_TYPE}(/(?P<type>[a-z]+))?", "list"),
    ("GET", rf"resources/{_TYPE}/(?P<type>[a-z]+)/(?P<name>.+)", "details"),
    ("GET", r"resources/(?P<name>[0-9a-f]{32})", "details_by_asset_id"),
    ("POST", rf"resources/{_TYPE}/(?P<type>[a-z]+)/(?P<name>.+)", "update"),
    ("DELETE", r"resources", "delete_by_asset_ids"),
    ("DELETE", rf"resources/{_TYPE}/tags/(?P<name>.+)", "delete_by_tag"),
    ("DELETE", rf"resources/{_TYPE}/(?P<type>[a-z]+)", "delete"),
)
_UPLOADS = "upload|destroy|rename|explicit|tags|context|metadata"
_UPLOAD = rf"(?P<resource_type>image|video|raw|auto)/(?P<kind>{_UPLOADS})"


class _Rule(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    kind: str


_RULES = [_Rule(method, re.compile(pattern), kind) for method, pattern, kind in _ADMIN]


@dataclass(frozen=True)
class Route:
    """What a request asks for; `name` is a public id, a tag, an asset id or a delivery path."""

    kind: str
    api: Api
    cloud_name: str
    resource_type: str = ""
    type: str = ""
    name: str = ""


def find(method: str, path: str) -> Route:
    """The route of a request; of kind `unknown` where there is none."""
    if not path.startswith("/v1_1/"):
        return _delivery(method, path)
    cloud_name, _, rest = unquote(path).removeprefix("/v1_1/").partition("/")
    rest = rest.rstrip("/")
    upload = re.fullmatch(_UPLOAD, rest) if method == "POST" else None
    if upload:
        return Route(upload["kind"], "upload_api", cloud_name, upload["resource_type"])
    for rule in _RULES:
        matched = rule.pattern.fullmatch(rest) if rule.method == method else None
        if matched:
            named = {name: value or "" for name, value in matched.groupdict().items()}
            return Route(rule.kind, "admin", cloud_name, **named)
    return Route("unknown", "admin", cloud_name)


def _delivery(method: str, path: str) -> Route:
    pattern = rf"/(?P<cloud>[^/]+)/{_TYPE}/(?P<type>[a-z]+)/(?P<name>.+)"
    matched = re.fullmatch(pattern, unquote(path))
    if not matched or method not in ("GET", "HEAD"):
        return Route("unknown", "delivery", "")
    return Route(
        "deliver",
        "delivery",
        matched["cloud"],
        matched["resource_type"],
        matched["type"],
        matched["name"],
    )
