"""The forms of single values: from the text of a variable to what the program uses.

Every validator takes a value of the final type as well, so that a caller may pass one directly.
A `ValueError` says what the value has to look like; it never repeats what may be a secret.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
HOST_PATTERN = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)


def web_url(value: str) -> str:
    """An http or https URL without user, query or fragment; a slash at the end is dropped."""
    parts = _split(value)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be a plain URL: without user, password, query and fragment")
    return value.rstrip("/")


def any_web_url(value: str) -> str:
    """An http or https URL, whatever it holds besides."""
    _split(value)
    return value


def api_endpoint(value: str) -> str:
    """The URL of an S3 API; Cloudflare's r2.dev is none."""
    url = web_url(value)
    host = urlsplit(url).hostname or ""
    if host == "r2.dev" or host.endswith(".r2.dev"):
        raise ValueError(
            "is a public URL (r2.dev), not an API endpoint:"
            " set https://<account id>.r2.cloudflarestorage.com"
        )
    return url


def database_url(value: SecretStr) -> SecretStr:
    """A connection string of libpq: a URL, or `host=… dbname=…`."""
    text = value.get_secret_value()
    if not re.match(r"postgres(ql)?://|\w+\s*=", text):
        raise ValueError("must be a URL like postgresql://user@host:5432/name")
    return value


def cloudinary_url(value: SecretStr) -> SecretStr:
    """The URL of an account: cloudinary://key:secret@cloud-name."""
    try:
        parts = urlsplit(value.get_secret_value())
        usable = parts.username and parts.password and parts.hostname
    except ValueError:
        usable = None
    if not usable or parts.scheme != "cloudinary":
        raise ValueError("must be like cloudinary://<api key>:<api secret>@<cloud name>")
    return value


def size_in_bytes(value: object) -> object:
    """Bytes, also with a unit: `500MiB`, `1.5 GB`."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
    if match is None or match[2] not in UNITS:
        raise ValueError("must be a number of bytes, or one with a unit such as 500MiB")
    return round(float(match[1]) * UNITS[match[2]])


def time_of_day(value: object) -> object:
    """`HH:MM`, UTC."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value)
    if match is None:
        raise ValueError("must be a time of day, HH:MM in UTC, such as 03:00")
    return datetime.time(int(match[1]), int(match[2]))


def members(text: str) -> tuple[str, ...]:
    """The members of a comma-separated list; empty ones are dropped."""
    return tuple(member.strip() for member in text.split(",") if member.strip())


def host_pattern(value: str) -> str:
    """A host name, or `*.example.org` for all below it."""
    pattern = value.lower().rstrip(".")
    if not HOST_PATTERN.fullmatch(pattern):
        raise ValueError(
            f"must be host names such as cdn.example.org or *.example.org, not {value!r}"
        )
    return pattern


def network(value: object) -> object:
    """An IP network in CIDR form."""
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        raise ValueError(
            f"must be networks such as 10.0.0.0/8 or fd00::/8, not {value!r}"
        ) from None


def target_name(value: str) -> str:
    """The name of a CDN target, which is a part of variables' names too."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value, re.IGNORECASE):
        raise ValueError(f"must be names of letters, digits and underscores, not {value!r}")
    return value.lower()


def account_id(value: str) -> str:
    """The id of a Cloudflare account, which is a part of a host's name, or of a zone."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value, re.IGNORECASE):
        raise ValueError("must be the id alone, letters and digits, as Cloudflare shows it")
    return value.lower()


def token(value: SecretStr) -> SecretStr:
    """A secret that is sent in a header, where not every character can stand."""
    if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("must be the token alone: letters, digits and signs without spaces")
    return value


def at_least_one(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list that is not empty."""
    if not values:
        raise ValueError("must not be an empty list")
    return values


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets or a port that make no sense
        usable = False
    if not usable:
        raise ValueError("must be a URL that begins with https:// or http://")
    return parts


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _separated(value: object) -> object:
    return members(value) if isinstance(value, str) else value


WebUrl = Annotated[str, AfterValidator(web_url)]
AnyWebUrl = Annotated[str, AfterValidator(any_web_url)]
ApiEndpoint = Annotated[str, AfterValidator(api_endpoint)]
AccountId = Annotated[str, AfterValidator(account_id)]
Token = Annotated[SecretStr, AfterValidator(token)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(database_url)]
CloudinaryUrl = Annotated[SecretStr, AfterValidator(cloudinary_url)]
Bytes = Annotated[int, BeforeValidator(size_in_bytes), Field(gt=0)]
TimeOfDay = Annotated[datetime.time, BeforeValidator(time_of_day)]
Lowercase = BeforeValidator(_lower)
Separated = BeforeValidator(_separated)
Hosts = Annotated[tuple[Annotated[str, AfterValidator(host_pattern)], ...], Separated]
Networks = Annotated[tuple[Annotated[Network, BeforeValidator(network)], ...], Separated]
Origins = Annotated[tuple[str, ...], Separated]
Targets = Annotated[
    tuple[Annotated[str, AfterValidator(target_name)], ...], Separated, AfterValidator(at_least_one)
]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Delays = Annotated[tuple[PositiveSeconds, ...], Separated, AfterValidator(at_least_one)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
