"""How the local provider answers one request: well, or with one of the faults of real ones."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.demo.bodies import Body, Bytes, media

Framing = Literal["length", "chunked", "close"]


class Gate:
    """Stops a transfer after `at` bytes of the file until it is released.

    `reached` is set once a client was sent that many; for those that come after `release` the
    gate stays open.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.reached = threading.Event()
        self.released = threading.Event()

    def release(self) -> None:
        """Let the transfer go on."""
        self.released.set()


def _melody() -> Body:
    return media("melody.mp3")


@dataclass(frozen=True)
class Behaviour:
    """One answer. Without any argument: the melody, whole, with length and strong ETag.

    - `content_type`, `etag`: instead of the body's own; an empty one is left out.
    - `headers`: further ones.
    - `framing`: `length` declares it, `chunked` does without, `close` ends with the connection.
    - `declared_length`: a lie about the length; the connection is closed after the body.
    - `ranges`: whether Range and If-Range are honoured.
    - `gzipped`: sends the body compressed, with its Content-Encoding.
    - `cut_after`: closes the connection after so many bytes of the body; with `reset` the
      client gets a reset instead of an end, and may lose bytes that were on their way.
    - `bytes_per_second`: slows the body down.
    - `delay`: seconds before the answer.
    - `hang`: no answer at all, until the client leaves.
    - `gate`: where to stop until released.
    """

    body: Body = field(default_factory=_melody)
    status: int = 200
    content_type: str | None = None
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "length"
    declared_length: int | None = None
    ranges: bool = True
    gzipped: bool = False
    cut_after: int | None = None
    reset: bool = False
    bytes_per_second: float | None = None
    delay: float = 0.0
    hang: bool = False
    gate: Gate | None = None

    def payload(self) -> Body:
        """What goes over the wire."""
        if not self.gzipped:
            return self.body
        whole = b"".join(self.body.blocks())
        return Bytes(gzip.compress(whole, mtime=0), self.body.content_type)


def page(text: str = "Please sign in to go on.", *, status: int = 200) -> Behaviour:
    """An HTML page, as a provider shows it where a file is expected."""
    html = f"<!doctype html><html><title>{text}</title><p>{text}</p></html>"
    return Behaviour(Bytes(html.encode(), "text/html; charset=utf-8"), status=status, etag="")


def refusal(status: int, *, retry_after: str | int | None = None) -> Behaviour:
    """A JSON error with this status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    content = json.dumps({"error": f"status {status}"}).encode()
    return Behaviour(Bytes(content, "application/json"), status=status, headers=headers, etag="")


def document(value: Any) -> Behaviour:
    """A JSON document."""
    return Behaviour(Bytes(json.dumps(value).encode(), "application/json"), etag="")


def redirect(to: str, *, status: int = 302) -> Behaviour:
    """A redirect to any URL, unchecked."""
    return Behaviour(Bytes(b"", ""), status=status, headers={"Location": to}, etag="")
