"""What can be set, from where it is read, and what is wrong with it."""

from worker.settings.loading import load_settings, unknown_variables
from worker.settings.model import Settings, StorageAccess

__all__ = ["Settings", "StorageAccess", "load_settings", "unknown_variables"]
