"""The command line `media-worker`."""

from worker.cli.commands import main

__all__ = ["main"]
