"""Deletions begin with archived tracks: the same parts as for archiving."""

from __future__ import annotations

from tests.archive.conftest import archive, tracks

__all__ = ["archive", "tracks"]
