"""A provider on this machine: serves real media files, and every fault that providers have."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from worker.demo.behaviour import Behaviour, refusal
from worker.demo.bodies import GeneratedMp3, media, media_names
from worker.demo.serving import ProviderServer

Script = Behaviour | Callable[["Request"], Behaviour]


@dataclass
class Request:
    """An entry of the journal; `status` and `sent` follow the answer while it goes out.

    `headers` have lower-case names. `sent` counts bytes of the body; `finished` says that all
    of the answer was sent.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(repr=False, default=b"")
    status: int | None = None
    sent: int = 0
    finished: bool = False


class Provider:
    """The server. Ready-made: `/ok/{media name}` and `/generated/{seed}/{size}.mp3`.

    Everything else is scripted with `serve`, and 404 until it is. It may be used from many
    threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, list[Script]] = {}
        self._journal: list[Request] = []
        self._server: ProviderServer | None = None

    def __enter__(self) -> Provider:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Provider:
        """Serve on a free port of 127.0.0.1."""
        if self._server is None:
            self._server = ProviderServer(self._receive)
            self._server.start()
        return self

    def stop(self) -> None:
        """Cut all connections and stop; may be called twice."""
        server, self._server = self._server, None
        if server:
            server.stop()

    def url(self, path: str) -> str:
        """The URL of a path, which may carry a query."""
        if self._server is None:
            raise RuntimeError("start the provider first")
        return f"http://127.0.0.1:{self._server.port}{path}"

    def serve(self, path: str, *scripts: Script) -> str:
        """Answer requests for `path` with these, one after the other; the last one stays.

        A script is a `Behaviour`, or a function from the request to one. Without any, it is
        the melody. Returns the path's URL.
        """
        with self._lock:
            self._scripts[path] = list(scripts) or [Behaviour()]
        return self.url(path)

    def requests(self, path: str | None = None) -> list[Request]:
        """The requests so far for a path (without its query), or all, oldest first."""
        with self._lock:
            return [entry for entry in self._journal if path in (None, entry.path)]

    def reset(self) -> None:
        """Forget scripts and journal; cut what is still being sent."""
        with self._lock:
            self._scripts.clear()
            self._journal.clear()
        if self._server:
            self._server.cut_all()

    def _receive(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[Request, Behaviour]:
        parts = urlsplit(target)
        request = Request(method, unquote(parts.path), parts.query, headers, body)
        with self._lock:
            self._journal.append(request)
            script = self._next_script(request.path)
        if callable(script):
            script = script(request)
        return request, script

    def _next_script(self, path: str) -> Script:
        scripts = self._scripts.get(path)
        if scripts:
            return scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return _ready_made(path)


def _ready_made(path: str) -> Behaviour:
    generated = re.fullmatch(r"/generated/(\d+)/(\d+)\.mp3", path)
    if generated:
        return Behaviour(GeneratedMp3(int(generated[1]), int(generated[2])))
    name = path.removeprefix("/ok/")
    if path.startswith("/ok/") and name in media_names():
        return Behaviour(media(name))
    return refusal(404)
