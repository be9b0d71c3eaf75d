"""`./.media-worker`: where `media-worker dev` keeps its data while it runs."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import Misconfigured

HOME = Path(".media-worker")


@contextmanager
def home() -> Iterator[Path]:
    """The directory, for this process alone.

    Raises `Misconfigured` where it cannot be made, or while another process uses it.
    """
    directory = HOME.resolve()
    try:
        directory.mkdir(exist_ok=True)
        (directory / ".gitignore").write_text("*\n")
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise Misconfigured(f"{directory} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another media-worker dev runs in {directory.parent}: stop it first"
            ) from None
        yield directory


def emptied(directory: Path) -> Path:
    """The path `directory`, with nothing there any more."""
    if directory.exists():
        # Renamed first: a server that was killed a moment ago may not quite have gone.
        grave = Path(tempfile.mkdtemp(prefix=".old-", dir=directory.parent))
        directory.rename(grave / directory.name)
    for old in directory.parent.glob(".old-*"):
        shutil.rmtree(old, ignore_errors=True)
    return directory
