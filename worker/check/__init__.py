"""Rows against what is stored: what is really there, what is missing, and what nobody wants."""
