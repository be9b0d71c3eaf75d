"""What the process tells systemd, where systemd has started it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def notify(*assignments: str) -> bool:
    """Send assignments such as `READY` and `status("…")`; False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.setblocking(False)
        sender.sendto("\n".join(assignments).encode(), address)
        return True
    return False


def status(text: str) -> str:
    """An assignment: the line that `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"


def watchdog_interval() -> float | None:
    """Seconds within which `WATCHDOG` has to be sent again and again; None: no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() and int(microseconds) else None
