"""The unsigned URLs of a bucket's objects, and the way back from any of them to the key."""

from __future__ import annotations

from urllib.parse import SplitResult, quote, unquote, urlsplit

from worker.storage.config import StorageTarget
from worker.storage.keys import BadArgument, check_key

DEFAULT_PORTS = {"http": 80, "https": 443}


class ForeignUrl(BadArgument):
    """A URL that does not lead into the bucket."""


def url_of(target: StorageTarget, key: str) -> str:
    """The public URL; that on the endpoint when the bucket is private."""
    return f"{prefixes(target)[0]}{quote(key)}"


def key_of(target: StorageTarget, url: str) -> str:
    """The key that a URL of the bucket leads to, signed or not.

    Raises `ForeignUrl` for any other URL, `BadKey` where the key is none that could be used.
    """
    place = _split(url)
    # The longest first: one may begin with another.
    for prefix in sorted(prefixes(target), key=len, reverse=True):
        if key := _behind(prefix, place):
            return check_key(key)
    raise ForeignUrl(_foreign(target, place))


def prefixes(target: StorageTarget) -> list[str]:
    """What URLs of the bucket begin with, that of its public URLs first."""
    public, endpoint = target.public_url.rstrip("/"), target.endpoint.rstrip("/")
    scheme, _, rest = endpoint.partition("://")
    found = [f"{endpoint}/{target.bucket}/", f"{scheme}://{target.bucket}.{rest}/"]
    if public and target.bucket_in_public_url:
        return [f"{public}/{target.bucket}/", *found]
    return [f"{public}/", *found] if public else found


def _behind(prefix: str, place: SplitResult) -> str:
    base = urlsplit(prefix)
    path = unquote(place.path)
    if _host(base) != _host(place) or not path.startswith(unquote(base.path)):
        return ""
    return path[len(unquote(base.path)) :]


def _host(place: SplitResult) -> tuple[str | None, int | None]:
    """Http and https lead to one place, unless they name different ports."""
    port = place.port
    return place.hostname, None if port == DEFAULT_PORTS.get(place.scheme) else port


def _split(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        usable = place.scheme in DEFAULT_PORTS and place.hostname and place.port != 0
    except ValueError:  # brackets or a port that make no sense
        usable = False
    if not usable or place.username is not None:
        raise ForeignUrl("that is no http or https URL of an object")
    return place


def _foreign(target: StorageTarget, place: SplitResult) -> str:
    said = f"{place.hostname}{place.path[:100]} leads to no object of {target.bucket}"
    said += f", whose URLs begin with {', '.join(prefixes(target))}"
    if (place.hostname or "").endswith(".r2.dev"):
        said += f"; if this is its public address too, set {target.setting('PUBLIC_URL')} to it"
    return said
