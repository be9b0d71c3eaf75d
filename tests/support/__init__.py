"""Helpers that several tests share; each has tests of its own in `tests/support`."""
