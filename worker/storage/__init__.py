"""The team's object storage and the CDN's: any S3 API."""

from worker.storage.bucket import ObjectInfo, OpenUpload
from worker.storage.config import StorageTarget
from worker.storage.failures import NoSuchObject
from worker.storage.intake import Source, Spooled
from worker.storage.keys import BadArgument, BadKey, check_key
from worker.storage.reading import Download
from worker.storage.spooled import SpooledFile
from worker.storage.store import ObjectStore, Uploaded
from worker.storage.transfer import Stored, Transfer
from worker.storage.urls import ForeignUrl

__all__ = [
    "BadArgument",
    "BadKey",
    "Download",
    "ForeignUrl",
    "NoSuchObject",
    "ObjectInfo",
    "ObjectStore",
    "OpenUpload",
    "Source",
    "Spooled",
    "SpooledFile",
    "StorageTarget",
    "Stored",
    "Transfer",
    "Uploaded",
    "check_key",
]
