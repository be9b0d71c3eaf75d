"""Opens a URL for download: checks every hop, judges the answer, hands over its body."""

from __future__ import annotations

import ssl
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Self

from worker.download.addresses import Resolve, checked_addresses, system_resolve
from worker.download.answers import check_status, redirect_of
from worker.download.body import Body
from worker.download.connection import Caller
from worker.download.gate import HostGate
from worker.download.pace import Pace
from worker.download.policy import DownloadPolicy
from worker.download.target import Target, parse_target, redirect_target
from worker.errors import Permanent


class Downloader:
    """Opens downloads within one policy. Blocking; may be used by many threads at once.

    `gate` is shared among downloaders that should know the same hosts as hanging. `resolve` turns
    a host and port into addresses (OSError where it cannot), `tls` is the context that verifies
    certificates; both default to the system's.
    """

    def __init__(
        self,
        policy: DownloadPolicy,
        *,
        gate: HostGate | None = None,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._gate = gate or HostGate()
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    def limited_to(self, max_bytes: int) -> Self:
        """One that takes at most so many bytes, and is the same otherwise."""
        return type(self)(
            replace(self._policy, max_bytes=max_bytes),
            gate=self._gate,
            resolve=self._resolve,
            tls=self._tls,
        )

    def open(self, url: str) -> Body:
        """Return the body of `url`, at most `max_redirects` redirects away.

        Raises Gone (403, 404, 410, 451), Permanent (other refusals, forbidden addresses, content
        that cannot be taken) or Temporary (worth another try, after `retry_after` seconds).
        """
        pace = Pace(self._policy)
        target = parse_target(url, policy=self._policy)
        for _ in range(self._policy.max_redirects + 1):
            found = self._visit(target, pace)
            if isinstance(found, Body):
                return found
            target = found
        raise Permanent(f"{target.host}: more than {self._policy.max_redirects} redirects")

    def _visit(self, target: Target, pace: Pace) -> Body | Target:
        with ExitStack() as held:
            held.enter_context(self._gate.enter(target.host))
            with self._gate.watch(target.host):
                caller = self._caller(target, pace)
                answer = held.enter_context(closing(caller.ask()))
            if answer.status != 200:
                self._gate.succeeded(target.host)
            location = redirect_of(answer)
            if location is not None:
                return redirect_target(target, location, policy=self._policy)
            check_status(answer, host=target.host)
            body = Body(caller, answer, gate=self._gate)
            body.hold(held.pop_all())
            return body

    def _caller(self, target: Target, pace: Pace) -> Caller:
        addresses = checked_addresses(target, policy=self._policy, resolve=self._resolve)
        return Caller(target, addresses, self._policy, pace, self._tls)
