"""A PostgreSQL and an S3 server for `dev`, `demo` and tests.

Both come from optional packages, can be reached from this machine only, and end with their
owner.
"""

from worker.demo.embedded.cluster import PartDidNotStart
from worker.demo.embedded.postgres import EmbeddedPostgres
from worker.demo.embedded.s3 import EmbeddedS3

__all__ = ["EmbeddedPostgres", "EmbeddedS3", "PartDidNotStart"]
