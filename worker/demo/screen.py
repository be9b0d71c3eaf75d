"""Shows scenes while they play: a live table on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from worker.demo.scene import Scene, Step

PAUSE = 0.1  # seconds between two looks
PATIENCE = 25.0  # seconds for what a step leads to
GAP = 2  # columns beside each cell of the live table
WIDTH = 120  # columns, where there is no terminal that has some


class Screen:
    """What the user sees. `broken` ends the waiting for what cannot come any more."""

    def __init__(self, *, broken: Callable[[], bool] = lambda: False) -> None:
        self.console = make_console()
        self._live = self.console.is_terminal
        self._broken = broken

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line."""
        self.console.print(Text(text, style=style), soft_wrap=True)

    def progress(self, lines: Iterable[str]) -> None:
        """Print each line as it comes, with the seconds that it took."""
        before = time.monotonic()
        for line in lines:
            now = time.monotonic()
            self.say(f"  {now - before:4.1f} s  {line}")
            before = now

    def play(self, scene: Scene) -> None:
        """Play all steps of a scene, and show what comes of them."""
        self.say()
        self.say(f"{scene.title}: {scene.story}", style="bold")
        board = _LiveBoard(scene, self.console) if self._live else _LineBoard(scene, self.say)
        with board.shown():
            for step in scene.steps():
                board.announce(step.says)
                self._watch(scene, step, board)

    def _watch(self, scene: Scene, step: Step, board: _LiveBoard | _LineBoard) -> None:
        step.does()
        deadline = time.monotonic() + PATIENCE
        while True:
            over = step.until()
            board.show(scene.rows())
            if over or self._broken():
                return
            if time.monotonic() > deadline:
                board.announce(f"(given up waiting after {PATIENCE:g} s)")
                return
            time.sleep(PAUSE)


def make_console() -> Console:
    """A terminal where stdout is one; elsewhere plain text without control codes."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return Console(highlight=False)
    return Console(highlight=False, force_terminal=False, color_system=None, width=WIDTH)


class _LiveBoard:
    """A table that follows."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._columns = scene.columns
        self._said: list[Text] = []
        self._rows: Sequence[Sequence[str]] = ()
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def shown(self) -> AbstractContextManager[Any]:
        return self._live

    def announce(self, text: str) -> None:
        self._said.append(Text(f"  {text}"))
        self._draw()

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        if rows != self._rows:
            self._rows = rows
            self._draw()

    def _draw(self) -> None:
        self._live.update(Group(*self._said, self._table()), refresh=True)

    def _table(self) -> Table:
        # A line for each, and all but the last column whole: 24 lines of 80 are enough.
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        widths = [max(map(len, cells)) for cells in zip(self._columns, *self._rows, strict=True)]
        room = self._live.console.width - sum(widths[:-1]) - GAP * len(widths)
        for name, width in zip(self._columns, [*widths[:-1], min(widths[-1], room)], strict=True):
            table.add_column(name, no_wrap=True, overflow="crop", width=max(width, 1))
        for row in self._rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        return table


class _LineBoard:
    """A line for every row that has changed."""

    def __init__(self, scene: Scene, say: Callable[[str], None]) -> None:
        self._columns = scene.columns
        self._say = say
        self._seen: dict[str, Sequence[str]] = {}

    def shown(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def announce(self, text: str) -> None:
        self._say(f"  {text}")

    def show(self, rows: Sequence[Sequence[str]]) -> None:
        for row in rows:
            if self._seen.get(row[0]) != row:
                self._say(f"    {self._news(row)}")
                self._seen[row[0]] = row

    def _news(self, row: Sequence[str]) -> str:
        before = self._seen.get(row[0])
        name = row[0] if before else f"{row[0]} ({row[1]})"
        told = list(zip(self._columns, row, before or [""] * len(row), strict=True))[2:]
        return f"{name}: " + "; ".join(f"{name} {now}" for name, now, old in told if now != old)


def _style(cell: str) -> str:
    return {"processing": "yellow", "completed": "green", "failed": "red"}.get(cell, "")
