"""Buckets, against what rows and the ledger say of them."""
