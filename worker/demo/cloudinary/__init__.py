"""A faithful local Cloudinary, for tests and the demo."""

from worker.demo.cloudinary.assets import Asset, Key
from worker.demo.cloudinary.faults import Hold
from worker.demo.cloudinary.journal import Effect
from worker.demo.cloudinary.local import LocalCloudinary
from worker.demo.cloudinary.notices import Notification
from worker.demo.cloudinary.uploads import Preset

__all__ = ["Asset", "Effect", "Hold", "Key", "LocalCloudinary", "Notification", "Preset"]
