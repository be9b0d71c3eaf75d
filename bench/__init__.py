"""Benchmarks: each puts ours beside something known, in turn, and gives the ratio of the two."""
