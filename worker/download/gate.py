"""Keeps a provider that hangs from occupying every slot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.download.transport import TransportError
from worker.errors import Busy, Temporary


@dataclass
class _Host:
    failures: int = 0
    under_way: int = 0


class HostGate:
    """Lets only `probes` requests at a time to a host whose last `failures` requests all hung.

    One success, which is any answer in time, and it is trusted again. Thread-safe; share one
    among all downloads of a process.
    """

    def __init__(self, *, failures: int = 4, probes: int = 2) -> None:
        self._failures = failures
        self._probes = probes
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, host: str) -> Iterator[None]:
        """Be a request to `host`; raises Busy at once while enough others probe it."""
        self._arrive(host)
        try:
            yield
        finally:
            self._leave(host)

    @contextmanager
    def watch(self, host: str) -> Iterator[None]:
        """Translate what the transport raises into Temporary, and hold it against the host."""
        try:
            yield
        except TransportError as error:
            self.failed(host)
            raise Temporary(f"{host}: {error}") from error

    def succeeded(self, host: str) -> None:
        """The host answered: it is trusted again."""
        with self._lock:
            if host in self._hosts:
                self._hosts[host].failures = 0
                self._forget_if_idle(host)

    def failed(self, host: str) -> None:
        """The host timed out, or the connection to it failed."""
        with self._lock:
            self._hosts.setdefault(host, _Host()).failures += 1

    def _arrive(self, host: str) -> None:
        with self._lock:
            known = self._hosts.setdefault(host, _Host())
            if known.failures >= self._failures and known.under_way >= self._probes:
                raise Busy(f"{host} is not answering; waiting")
            known.under_way += 1

    def _leave(self, host: str) -> None:
        with self._lock:
            self._hosts[host].under_way -= 1
            self._forget_if_idle(host)

    def _forget_if_idle(self, host: str) -> None:
        known = self._hosts[host]
        if not known.failures and not known.under_way:
            del self._hosts[host]
