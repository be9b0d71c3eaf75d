"""What the local provider writes above a body: status, framing, ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from worker.demo.behaviour import Behaviour
from worker.demo.bodies import Body, Bytes


@dataclass(frozen=True)
class Head:
    """A status, headers, and which bytes of the payload follow; `stop` None means endless."""

    status: int
    headers: dict[str, str]
    payload: Body
    start: int
    stop: int | None


def head_for(behaviour: Behaviour, asked: Mapping[str, str]) -> Head:
    """The head that answers a request with these headers (lower-case names)."""
    payload = behaviour.payload()
    size = payload.size
    span = _asked_range(behaviour, payload, asked)
    if span is None or size is None:
        return _head(behaviour, payload, behaviour.status, 0, size, {})
    start, stop = span
    if start >= size:
        nothing = Bytes(b"", payload.content_type)
        return _head(behaviour, nothing, 416, 0, 0, {"Content-Range": f"bytes */{size}"})
    partial = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return _head(behaviour, payload, 206, start, stop, partial)


def _asked_range(
    behaviour: Behaviour, payload: Body, asked: Mapping[str, str]
) -> tuple[int, int] | None:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
    etag = _etag(behaviour, payload)
    fresh = asked.get("if-range", etag) == etag and not etag.startswith("W/")
    if not (wanted and fresh and behaviour.ranges and behaviour.status == 200 and payload.size):
        return None
    last = int(wanted[2]) + 1 if wanted[2] else payload.size
    return int(wanted[1]), min(last, payload.size)


def _etag(behaviour: Behaviour, payload: Body) -> str:
    return payload.etag if behaviour.etag is None else behaviour.etag


def _head(
    behaviour: Behaviour,
    payload: Body,
    status: int,
    start: int,
    stop: int | None,
    more: Mapping[str, str],
) -> Head:
    own_type = behaviour.content_type is None
    headers = {
        "Content-Type": payload.content_type if own_type else behaviour.content_type,
        "Content-Encoding": "gzip" if behaviour.gzipped else "",
        "ETag": _etag(behaviour, payload),
        "Accept-Ranges": "bytes" if behaviour.ranges and status in (200, 206) else "",
        **_framing(behaviour, None if stop is None else stop - start),
        **more,
        **behaviour.headers,
    }
    present = {name: value for name, value in headers.items() if value}
    return Head(status, present, payload, start, stop)


def _framing(behaviour: Behaviour, length: int | None) -> dict[str, str]:
    if behaviour.framing == "chunked":
        return {"Transfer-Encoding": "chunked"}
    if behaviour.declared_length is not None:
        return {"Content-Length": str(behaviour.declared_length), "Connection": "close"}
    if behaviour.framing == "close" or length is None:
        return {"Connection": "close"}
    return {"Content-Length": str(length)}
