"""`media-worker` run to its end, with stdout and stderr apart."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.process import COMMAND, INHERITED, REPOSITORY


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
    ended = subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(REPOSITORY), **env},
        timeout=timeout,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
