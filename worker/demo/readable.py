"""The worker's log lines, for people."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from rich.text import Text

STYLES = {"warning": "yellow", "error": "bold red", "critical": "bold red", "debug": "dim"}
LEFT_OUT = ("event", "level", "logger", "timestamp", "exception")


def readable(line: str) -> Text:
    """A log line in one colour per level; what is no log line stays as it is."""
    try:
        said = json.loads(line)
    except ValueError:
        return Text(line)
    if not isinstance(said, dict) or "event" not in said:
        return Text(line)
    return _render(said)


def _render(said: dict[str, Any]) -> Text:
    level = str(said.get("level", "info"))
    text = Text(f"{_clock(said.get('timestamp'))} ", style="dim")
    text.append(f"{level:<8}{said['event']}", style=STYLES.get(level, "not dim"))
    for name, value in said.items():
        if name not in LEFT_OUT and value is not None:
            text.append(f"  {name}={_short(value)}", style="not dim" if name == "error" else "dim")
    if said.get("exception"):
        text.append(f"\n{said['exception']}")
    return text


def _clock(timestamp: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(timestamp)).astimezone():%H:%M:%S}"
    except ValueError:
        return "        "


def _short(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
