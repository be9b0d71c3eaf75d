"""The kernel: claims, runs and ends pieces of work, and keeps them from being lost.

A work row is the truth, a job in the queue is a wake-up call. All capabilities use this package
and bring no more than a work table, an action and their settings.
"""
