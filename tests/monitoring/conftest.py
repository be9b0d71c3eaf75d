"""The installation that operators look at."""

from tests.archive.conftest import archive

__all__ = ["archive"]
