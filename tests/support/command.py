"""`media-worker` run to its end, with stdout and stderr apart."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.process import COMMAND, INHERITED, REPOSITORY, started


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which has to be JSON and nothing else."""
        return json.loads(self.out)


def media_worker(
    *arguments: str, env: Mapping[str, str], cwd: Path, timeout: float = 60.0
) -> Ended:
    """Run `media-worker` with nothing but `env` for its settings, in the directory `cwd`."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        out.touch(), err.touch()
        environment = {**kept, "PYTHONPATH": str(REPOSITORY), **env}
        process = started([*COMMAND, *arguments], stdout=out, stderr=err, cwd=cwd, env=environment)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return Ended(code, out.read_text(), err.read_text())
