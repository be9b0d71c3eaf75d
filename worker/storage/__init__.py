"""The team's object storage and the CDN's: any S3 API."""

from worker.storage.config import StorageTarget
from worker.storage.intake import Source
from worker.storage.keys import BadKey, check_key
from worker.storage.store import ObjectInfo, ObjectStore, OpenUpload
from worker.storage.transfer import Stored, Transfer

__all__ = [
    "BadKey",
    "ObjectInfo",
    "ObjectStore",
    "OpenUpload",
    "Source",
    "StorageTarget",
    "Stored",
    "Transfer",
    "check_key",
]
