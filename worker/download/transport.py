"""Why a connection gave no answer; translated to `Temporary` where the host is known."""

from __future__ import annotations


class TransportError(Exception):
    """No complete answer came: too slow, past its deadline, or not to be trusted."""


class Broken(TransportError):
    """The connection failed, and another one may go on where it ended."""
