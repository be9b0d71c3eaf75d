"""Rows against buckets: what is really there, what is missing, and what nobody wants."""
