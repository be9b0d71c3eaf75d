"""Finding what a command leaves behind."""

from __future__ import annotations

import contextlib
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.support.process import REPOSITORY


@dataclass
class Traces:
    """A mark that all processes of a command carry, and the places that its output names."""

    tmp: Path
    mark: str = field(default_factory=lambda: f"/mark-{uuid.uuid4().hex}")

    @property
    def env(self) -> dict[str, str]:
        """What to start the command with."""
        self.tmp.mkdir(exist_ok=True)
        return {"PYTHONPATH": f"{REPOSITORY}:{self.mark}", "TMPDIR": str(self.tmp)}

    def processes(self) -> list[str]:
        """The command lines of all processes that carry the mark."""
        return [line for each in psutil.process_iter() if (line := self._marked(each))]

    def places(self, output: str) -> list[Path]:
        """Temporary directories that are there: below ours, and those that the output names."""
        named = re.findall(r"host=([^&']+)", output)
        return [*self.tmp.iterdir(), *(Path(name) for name in named if Path(name).exists())]

    def _marked(self, process: psutil.Process) -> str:
        with contextlib.suppress(psutil.Error):  # it may be gone by now
            if self.mark in process.environ().get("PYTHONPATH", ""):
                return " ".join(process.cmdline())
        return ""
