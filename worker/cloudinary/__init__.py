"""The team's Cloudinary account, within its rate limit."""

from worker.cloudinary.account import Account, Keep
from worker.cloudinary.admin import AdminApi
from worker.cloudinary.assets import AssetStore, Found
from worker.cloudinary.budget import Budget
from worker.cloudinary.failures import SERVICE, Limited, NoAccess, NotFound, Refused

__all__ = [
    "SERVICE",
    "Account",
    "AdminApi",
    "AssetStore",
    "Budget",
    "Found",
    "Keep",
    "Limited",
    "NoAccess",
    "NotFound",
    "Refused",
]
