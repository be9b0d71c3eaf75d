"""What can be set, from where it is read, and what is wrong with it."""

from worker.settings.buckets import R2_TARGET, StorageAccess
from worker.settings.loading import load_settings, unknown_variables
from worker.settings.model import Settings

__all__ = ["R2_TARGET", "Settings", "StorageAccess", "load_settings", "unknown_variables"]
